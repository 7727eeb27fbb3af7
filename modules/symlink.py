"""A symbolic link, as a module."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rootwright import resource
from rootwright.module import Module
from rootwright.resource import Resource


@dataclass(frozen=True, kw_only=True)
class Symlink(Module):
    """Have a symbolic link, in a folder that exists.

    path: its path in the root.
    to: its target, as it is to stand in the link.
    must_exist: refuse to link to what is not in the root.

    A file at the path is replaced, a folder never.
    """

    path: str
    to: str
    must_exist: bool = False

    def resources(self) -> Iterator[Resource]:
        """Yield the link."""
        yield resource.Symlink(self.path, self.to, self.must_exist)
