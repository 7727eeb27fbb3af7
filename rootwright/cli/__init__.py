"""The command line: an invoke namespace made of the playbooks, and the program around it."""

from __future__ import annotations

import importlib.util
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path

import invoke.program
from invoke.collection import Collection
from invoke.exceptions import Exit, ParseError

from rootwright import __version__
from rootwright.cli import tasks
from rootwright.cli.build import build_task
from rootwright.errors import UsageError
from rootwright.playbook import REGISTRY


class Program(invoke.program.Program):
    """invoke's program, whose exit code for a command line it cannot read is 2, as documented."""

    def parse_core(self, argv: list[str] | None) -> None:
        """Read invoke's own options."""
        try:
            super().parse_core(argv)
        except ParseError as e:
            raise _usage(e) from None

    def parse_tasks(self) -> None:
        """Read tasks and their options."""
        try:
            super().parse_tasks()
        except ParseError as e:
            raise _usage(e) from None

    def parse_cleanup(self) -> None:
        """Answer --help and --list."""
        try:
            super().parse_cleanup()
        except ParseError as e:
            raise _usage(e) from None


def _usage(error: ParseError) -> Exit:
    text = str(error).removesuffix("!")
    lines = UsageError(text, hint="--list shows the tasks, --help TASK a task's options").lines()
    return Exit("\n".join(lines), code=2)


def namespace(*folders: Path) -> Collection:
    """Return every task: one for each playbook, and those around them.

    folders: further folders whose files are playbooks.
    Raises whatever a playbook's file raises when it is imported.
    """
    from rootwright import playbooks

    for info in pkgutil.iter_modules(playbooks.__path__):
        importlib.import_module(f"{playbooks.__name__}.{info.name}")
    for folder in folders:
        for path in sorted(folder.glob("*.py")):
            _import_file(path)
    collection = Collection()
    for name, playbook in REGISTRY.items():
        verb = f"build-{name}".replace("_", "-")
        collection.add_task(build_task(playbook), name=verb)
    for name, task in tasks.TASKS.items():
        collection.add_task(task, name=name)
    return collection


def _import_file(path: Path) -> None:
    name = f"rootwright_playbook_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec and spec.loader:
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)


def main(argv: Sequence[str] | None = None, collection: Collection | None = None) -> None:
    """Run the program and exit with its code.

    argv: as in sys.argv. collection: the tasks; every task of an installed copy unless told.
    """
    program = Program(
        name="rootwright",
        binary="rootwright",
        binary_names=["rootwright", "inv"],
        namespace=collection or namespace(),
        version=__version__,
    )
    program.run(list(argv) if argv is not None else None)
