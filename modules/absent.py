"""What is not to be there, as a module."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rootwright import resource
from rootwright.module import Module
from rootwright.resource import Resource


@dataclass(frozen=True, kw_only=True)
class Absent(Module):
    """Have nothing at these paths.

    patterns: paths in the root, with the shell's wildcards; ``*`` matches neither ``/`` nor a
        leading dot.
    keep: one pattern, matched over the whole path, of what stays all the same.

    What a wildcard finds through a symbolic link stays, and so does what is mounted.
    """

    patterns: tuple[str, ...]
    keep: str = ""

    def resources(self) -> Iterator[Resource]:
        """Yield the absence."""
        yield resource.Absent(self.patterns, self.keep)
