"""What is to be converged: one description, from which every contender gets its own."""

from __future__ import annotations

import dataclasses
import json
import shlex
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["directory", "file", "template", "line", "symlink", "command", "package"]

KINDS: tuple[Kind, ...] = (
    "directory",
    "file",
    "template",
    "line",
    "symlink",
    "command",
    "package",
)

TEMPLATE = "label = {{ label }}\ngeneration = {{ generation }}\n"
LINE_START = "generation = "
PACKAGE = "tar"
"""Installed wherever this runs: what is measured is finding that out."""

_FILLER = "".join(f"setting-{number:02} = {number * 7919 % 1009}\n" for number in range(30))


@dataclass(frozen=True)
class Item:
    """One thing that should be so. Each kind uses some of the fields."""

    kind: Kind
    path: str
    content: str = ""
    values: dict[str, str] = field(default_factory=dict)
    line: str = ""
    target: str = ""
    mode: str = "644"
    script: str = ""

    def holds(self, root: Path = Path("/")) -> bool:
        """Tell whether it is so, on this machine or in another root."""
        path = root / self.path.lstrip("/")
        match self.kind:
            case "package":
                return True
            case "directory":
                return path.is_dir() and f"{stat.S_IMODE(path.stat().st_mode):o}" == self.mode
            case "symlink":
                return path.is_symlink() and str(path.readlink()) == self.target
            case "command":
                return path.exists()
            case "line":
                return path.read_text().splitlines().count(self.line) == 1
            case _:
                return path.is_file() and path.read_text() == self.content


class Wishes:
    """A list of wishes that change from run to run; each has a generation that can be counted up.

    folder: where they are to come true; made if missing.
    """

    def __init__(self, folder: Path, kinds: Sequence[Kind]) -> None:
        self._folder = folder
        self._kinds = kinds
        self._generations = [0] * len(kinds)
        folder.mkdir(parents=True, exist_ok=True)
        for number in (0, 1):
            (folder / f"target-{number}").touch()
        for position, kind in enumerate(kinds):
            if kind == "line":
                self._path(position).write_text(f"{_FILLER}{LINE_START}none\n{_FILLER}")

    def bump(self, which: Literal["none", "one", "all"]) -> int:
        """Wish something else; return how many items differ then."""
        changeable = [i for i, kind in enumerate(self._kinds) if kind != "package"]
        first = next(i for i in changeable if self._kinds[i] in ("file", "template"))
        changed = {"none": [], "one": [first], "all": changeable}[which]
        for position in changed:
            self._generations[position] += 1
        return len(changed)

    def items(self) -> list[Item]:
        """Return what is wished now."""
        return [self._item(position, kind) for position, kind in enumerate(self._kinds)]

    def _path(self, position: int) -> Path:
        return self._folder / f"item-{position:03}"

    def _item(self, position: int, kind: Kind) -> Item:
        generation = self._generations[position]
        path = str(self._path(position))
        values = {"label": f"item {position}", "generation": str(generation)}
        match kind:
            case "directory":
                return Item(kind, path, mode=("755", "750")[generation % 2])
            case "file":
                return Item(kind, path, content=f"item {position}, {generation}\n{_FILLER}")
            case "template":
                content = f"label = item {position}\ngeneration = {generation}\n"
                return Item(kind, path, content=content, values=values)
            case "line":
                return Item(kind, path, line=f"{LINE_START}{generation}")
            case "symlink":
                return Item(kind, path, target=str(self._folder / f"target-{generation % 2}"))
            case "command":
                done = f"{path}.{generation}"
                return Item(kind, done, script=f"echo done >{shlex.quote(done)}")
            case "package":
                return Item(kind, "", content=PACKAGE)


def files(count: int) -> list[Kind]:
    """Return so many files."""
    return ["file"] * count


def every_kind(each: int) -> list[Kind]:
    """Return so many of each kind; packages only where every contender can ask for them."""
    return [kind for kind in KINDS if kind != "package" or _has_apt() for _ in range(each)]


def _has_apt() -> bool:
    """Whether Ansible's apt module would work here without first installing something."""
    return Path("/usr/lib/python3/dist-packages/apt").is_dir() and Path("/usr/bin/dpkg").exists()


def dump(items: Iterable[Item], path: Path) -> None:
    """Write items where a contender's play can read them."""
    path.write_text(json.dumps([dataclasses.asdict(item) for item in items]))


def load(path: Path) -> list[Item]:
    """Read them there."""
    return [Item(**fields) for fields in json.loads(path.read_text())]
