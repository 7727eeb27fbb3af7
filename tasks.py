"""The front door: ``build-<playbook>`` and the rest, and what a developer runs in a checkout."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from pathlib import Path

from invoke.context import Context
from invoke.tasks import task

from rootwright import cli
from rootwright.errors import UsageError

HERE = Path(__file__).resolve().parent
PYTHON = shlex.quote(sys.executable)


def _run(context: Context, command: str) -> None:
    """Run a command that is shown as it goes and reads nothing, whatever our standard input is."""
    context.run(command, pty=sys.stdout.isatty(), in_stream=False)


def _develop(context: Context) -> None:
    """Install the developer's tools into the environment we run in, once."""
    if not all(map(importlib.util.find_spec, ("hypothesis", "mypy", "pytest", "ruff", "xdist"))):
        pip = f"{PYTHON} -m pip --quiet --disable-pip-version-check"
        _run(context, f"{pip} install --editable {shlex.quote(str(HERE))}[dev]")


def _number(option: str, value: str) -> int:
    if value.isdecimal() and int(value) > 0:
        return int(value)
    raise UsageError(f"{option} takes a number, not {value!r}", where="the command line")


@task
def lint(context: Context) -> None:
    """Check format, style, types and shell: ruff, mypy, shellcheck."""
    _develop(context)
    with context.cd(HERE):
        _run(context, "sh tests/prepare.sh")
        _run(context, f"{PYTHON} -m ruff format --check .")
        _run(context, f"{PYTHON} -m ruff check .")
        _run(context, f"{PYTHON} -m mypy")
        _run(context, "git ls-files -z inv .ci/run '*.sh' | xargs -0 shellcheck")


@task(
    pre=[lint],
    optional=["faults"],
    help={
        "only": "what to test, as pytest takes it; without it everything",
        "faults": "throw so many faults at real builds instead (100 without a number)",
        "seed": "of the schedule of faults; the same one throws the same",
        "first": "the index of the first fault",
    },
    auto_shortflags=False,
)
def test(
    context: Context, only: str = "", faults: str | bool = "", seed: int = 1, first: int = 0
) -> None:
    """Test everything, with the real parts; on Debian as root it installs what it needs."""
    # Most tests wait for other processes most of the time.
    words = only or "-n 2 --dist loadfile"
    if faults:
        count = 100 if faults is True else _number("--faults", str(faults))
        # Three keep two cores busy: a fault is waiting for the better part.
        workers = "-n 3" if count > 1 else ""
        words = f"tests/faults --verbose {workers} --faults {count} --seed {seed} --first {first}"
    with context.cd(HERE):
        _run(context, f"{PYTHON} -m pytest {words}")


@task(
    positional=[],
    help={"name": "a group of benchmarks; all of them unless given", "runs": "runs of each"},
    auto_shortflags=False,
)
def bench(context: Context, name: str = "", runs: int = 5) -> None:
    """Measure side by side with what people use instead; write benchmarks/results and README."""
    with context.cd(HERE):
        _run(context, "sh tests/prepare.sh")
        words = f"{PYTHON} -m benchmarks --runs {runs} {shlex.quote(name) if name else ''}"
        _run(context, words)


ns = cli.namespace()
for command in (lint, test, bench):
    ns.add_task(command)  # type: ignore[arg-type]  # invoke types its decorator as any callable

if __name__ == "__main__":
    cli.main(sys.argv, ns)
