"""A folder, as a module."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rootwright import resource
from rootwright.module import Module
from rootwright.resource import Resource


@dataclass(frozen=True, kw_only=True)
class Directory(Module):
    """Have a folder with this mode and owner, in a folder that exists; its contents stay.

    path: its path in the root.
    mode: permission bits.
    owner, group: numbers, or names of the root's own.
    """

    path: str
    mode: int = 0o755
    owner: int | str = 0
    group: int | str = 0

    def resources(self) -> Iterator[Resource]:
        """Yield the folder."""
        yield resource.Directory(self.path, self.mode, self.owner, self.group)
