"""The front door: ``build-<playbook>`` and the rest, and what a developer runs in a checkout."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from pathlib import Path

from invoke import Context, task

from rootwright import cli

HERE = Path(__file__).resolve().parent
PYTHON = shlex.quote(sys.executable)


def _develop(context: Context) -> None:
    """Install the developer's tools into the environment we run in, once."""
    if not all(map(importlib.util.find_spec, ("hypothesis", "mypy", "pytest", "ruff"))):
        pip = f"{PYTHON} -m pip --quiet --disable-pip-version-check"
        context.run(f"{pip} install --editable {shlex.quote(str(HERE))}[dev]")


@task
def lint(context: Context) -> None:
    """Check format, style, types and shell: ruff, mypy, shellcheck."""
    _develop(context)
    with context.cd(HERE):
        context.run("sh tests/prepare.sh")
        context.run(f"{PYTHON} -m ruff format --check .")
        context.run(f"{PYTHON} -m ruff check .")
        context.run(f"{PYTHON} -m mypy")
        context.run("git ls-files -z inv .ci/run '*.sh' | xargs -0 shellcheck")


@task(
    pre=[lint],
    help={"only": "what to test, as pytest takes it; without it everything, lint included"},
    auto_shortflags=False,
)
def test(context: Context, only: str = "") -> None:
    """Test everything, with the real parts; on Debian as root it installs what it needs."""
    with context.cd(HERE):
        context.run(f"{PYTHON} -m pytest {only}", pty=sys.stdout.isatty())


ns = cli.namespace()
ns.add_task(lint)
ns.add_task(test)

if __name__ == "__main__":
    cli.main(sys.argv, ns)
