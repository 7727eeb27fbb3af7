"""A playbook that waits half-way, and the program that plays it: for what happens meanwhile."""

from __future__ import annotations

import sys
from pathlib import Path

_BOOK = '''"""A playbook for tests."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rootwright.module import Module
from rootwright.playbook import ImageConfig, Recipe, playbook
from rootwright.resource import Bootstrap, File, Resource

_SCRIPT = """
mkdir -p "$rw_root/etc" "$rw_root/half"
echo {stamp} >"$rw_root/etc/suite"
mount -t tmpfs none "$rw_root/half"
touch {folder}/waiting
while [ -e {folder}/hold ]; do sleep 0.05; done
umount "$rw_root/half"
rmdir "$rw_root/half"
echo {stamp} >>{folder}/made
"""


@dataclass(frozen=True, kw_only=True)
class Grown(Module):
    """A root that does not grow on while there is a file ``hold``."""

    folder: str
    stamp: str

    def resources(self) -> Iterable[Resource]:
        script = _SCRIPT.format(folder=self.folder, stamp=self.stamp)
        yield Bootstrap("tree", script, stamp=self.stamp)


@dataclass(frozen=True, kw_only=True)
class Noted(Module):
    """A file."""

    text: str

    def resources(self) -> Iterable[Resource]:
        yield File("/etc/note", self.text)


@playbook()
def waiting(
    facts: Mapping[str, str],
    *,
    folder: str = "/nowhere",
    stamp: str = "one",
    text: str = "note",
    ship: bool = False,
) -> Recipe:
    """Wait.

    folder: where to say so. ship: make an image of it.
    """
    root = [Grown(folder=folder, stamp=stamp), Noted(text=text)]
    return Recipe(root=root, image=ImageConfig() if ship else None)
'''

_PROGRAM = (
    "import sys; from pathlib import Path; from rootwright import cli; "
    "cli.main(['rootwright', *sys.argv[2:]], cli.namespace(Path(sys.argv[1])))"
)


def program_with(books: Path) -> list[str]:
    """Return the argv of the program with a folder of further playbooks; a task may follow."""
    return [sys.executable, "-c", _PROGRAM, str(books)]


def waiting_book(folder: Path) -> list[str]:
    """Return the argv that plays the playbook ``waiting``; options may follow.

    folder: where the playbook is written; where it leaves ``waiting`` when it waits and ``made``,
        a line for each root, and looks for ``hold``.
    """
    books = folder / "books"
    books.mkdir(exist_ok=True)
    (books / "waiting.py").write_text(_BOOK)
    return [*program_with(books), "build-waiting", "--folder", str(folder)]
