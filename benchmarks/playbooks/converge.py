"""A playbook that converges what a file describes, on the host itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.desired import LINE_START, TEMPLATE, Item, load
from rootwright.module import Module
from rootwright.modules.packages import Packages
from rootwright.playbook import Recipe, playbook
from rootwright.resource import Command, Directory, File, Line, Resource, Symlink, Template


@dataclass(frozen=True, kw_only=True)
class Wish(Module):
    """One thing that should be so."""

    item: Item

    def resources(self) -> Iterator[Resource]:
        item = self.item
        match item.kind:
            case "directory":
                yield Directory(item.path, mode=int(item.mode, 8))
            case "file":
                yield File(item.path, item.content)
            case "template":
                yield Template(item.path, TEMPLATE, values=item.values)
            case "line":
                yield Line(item.path, item.line, match=f"^{LINE_START}")
            case "symlink":
                yield Symlink(item.path, item.target)
            case "command":
                paths = (item.path,)
                yield Command("mark", item.script, creates=item.path, reads=paths, writes=paths)


@playbook()
def converge(_host: Mapping[str, str], *, items: str = "") -> Recipe:
    """Converge what a file describes.

    items: the file
    """
    return Recipe(
        host=[
            Packages(names=(item.content,)) if item.kind == "package" else Wish(item=item)
            for item in load(Path(items))
        ]
    )
