"""A file, as a module."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rootwright import resource
from rootwright.module import Module
from rootwright.resource import Resource


@dataclass(frozen=True, kw_only=True)
class File(Module):
    """Have a regular file with this content, in a folder that exists.

    path: its path in the root.
    content: text or bytes, 16 MiB at most.
    mode: permission bits; None keeps what the file has, 0o644 for a new one.
    owner, group: numbers, or names of the root's own.

    It is written beside its place and renamed, so that no program sees half of it. A link at the
    path is replaced, never followed.
    """

    path: str
    content: str | bytes
    mode: int | None = 0o644
    owner: int | str = 0
    group: int | str = 0

    def resources(self) -> Iterator[Resource]:
        """Yield the file."""
        yield resource.File(self.path, self.content, self.mode, self.owner, self.group)
