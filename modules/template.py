"""A file made from a template, as a module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from rootwright import resource
from rootwright.module import Module
from rootwright.resource import Resource


@dataclass(frozen=True, kw_only=True)
class Template(Module):
    """Have a regular file with what a jinja2 template says, in a folder that exists.

    path: its path in the root.
    template: the template's text. A name that `values` does not have is an error.
    values: what the template may name.
    mode: permission bits; None keeps what the file has, 0o644 for a new one.
    owner, group: numbers, or names of the root's own.
    """

    path: str
    template: str
    values: Mapping[str, object] = field(default_factory=dict)
    mode: int | None = 0o644
    owner: int | str = 0
    group: int | str = 0

    def resources(self) -> Iterator[Resource]:
        """Yield the file."""
        yield resource.Template(
            self.path, self.template, self.mode, self.owner, self.group, values=self.values
        )
