"""The command line: an invoke namespace made of the playbooks, and the program around it."""

from __future__ import annotations

import atexit
import contextlib
import difflib
import gc
import importlib.util
import pkgutil
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import invoke.program
from invoke.collection import Collection
from invoke.exceptions import ParseError

from rootwright import __version__
from rootwright.cli import tasks
from rootwright.cli.build import build_task
from rootwright.cli.edge import deafen, edge
from rootwright.errors import RootwrightError, UsageError
from rootwright.playbook import REGISTRY
from rootwright.text import harmless

_NAMED = ("modules", "bench")
"""Tasks that take a name without ``--name``."""


class Program(invoke.program.Program):
    """invoke's program, with our words and exit codes for a command line it cannot read."""

    def parse_core(self, argv: list[str] | None) -> None:
        """Read invoke's own options."""
        with self._reading():
            super().parse_core(argv)

    def parse_tasks(self) -> None:
        """Read tasks and their options."""
        # invoke's positional arguments cannot be left out; a name can.
        words = self.core.unparsed
        if words[1:] and words[0] in _NAMED and not words[1].startswith("-"):
            words.insert(1, "--name")
        with self._reading():
            super().parse_tasks()

    def parse_cleanup(self) -> None:
        """Answer --help and --list."""
        with self._reading():
            super().parse_cleanup()

    def execute(self) -> None:
        """Run the tasks."""
        with edge():
            try:
                super().execute()
            finally:
                deafen()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        with edge():
            try:
                yield
            except ParseError as e:
                raise usage(e, self.argv) from None
            except ValueError as e:  # of invoke's own options, some are numbers
                raise UsageError(
                    f"an option cannot take this: {e}", hint="--help shows what each takes"
                ) from None


def usage(error: ParseError, argv: Sequence[str]) -> UsageError:
    """Return invoke's error in our words, with what may have been meant.

    argv: the command line.
    """
    text = str(error).removesuffix("!")
    hint = "--list shows the tasks, --help TASK a task's options"
    context = error.context if error.context and error.context.name else None
    flags = list(context.flags) if context else []
    unknown = re.fullmatch("No idea what '(.*)' is", text)
    needy = re.match(r"Flag <Argument: (\w+).*> needed value", text)
    if needy:
        return UsageError(f"--{needy[1].replace('_', '-')} needs a value", hint=hint)
    if not unknown:
        return UsageError(text, hint=hint)
    word = unknown[1]
    before = argv[argv.index(word) - 1] if word in argv else ""
    if before in flags and argv.count(before) > 1:
        return UsageError(f"{before} was given twice", hint="give it once")
    known = flags if word.startswith("-") else _task_names()
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.75)
    if near:
        hint = f"did you mean {near[0]}?"
    if word.startswith("-"):
        owner = context.name if context else "this program"
        return UsageError(f"{owner} has no option {word}", hint=hint)
    return UsageError(f"there is no task {word!r}", hint=hint)


def _task_names() -> list[str]:
    return [*map(task_name, REGISTRY), *tasks.TASKS]


def task_name(playbook: str) -> str:
    """Return the name of the task that plays a playbook."""
    return f"build-{playbook}".replace("_", "-")


def namespace(*folders: Path) -> Collection:
    """Return every task: one for each playbook, and those around them.

    folders: further folders whose files are playbooks.
    Exits where one of them makes no playbook; raises whatever else a playbook's file raises when
    it is imported.
    """
    try:
        return _namespace(*folders)
    except RootwrightError as e:
        print("\n".join(map(harmless, e.lines())), file=sys.stderr)
        sys.exit(e.exit_code)


def _namespace(*folders: Path) -> Collection:
    from rootwright import playbooks

    for info in pkgutil.iter_modules(playbooks.__path__):
        importlib.import_module(f"{playbooks.__name__}.{info.name}")
    for folder in folders:
        for path in sorted(folder.glob("*.py")):
            _import_file(path)
    collection = Collection()
    for name, playbook in REGISTRY.items():
        collection.add_task(build_task(playbook), name=task_name(name))
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
    # Python looks for cycles among all there is before it ends, which is then thrown away anyhow.
    atexit.register(gc.freeze)
    program.run(list(argv) if argv is not None else None)
