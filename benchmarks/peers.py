"""The peers: other people's programs, in a virtual environment of their own."""

from __future__ import annotations

import importlib.metadata
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import say
from rootwright.errors import StepError
from tests.support.apart import cache, environment

_WANTED = ("ansible-core", "mitogen", "pyinfra")


@dataclass(frozen=True)
class Peers:
    """Where the peers are. versions: of each, by its name on PyPI."""

    folder: Path
    versions: dict[str, str]

    def program(self, name: str) -> str:
        """Return the path of one of their programs."""
        return str(self.folder / "bin" / name)

    def strategies(self) -> Path:
        """Return where Mitogen's strategies for Ansible are."""
        (package,) = self.folder.glob("lib/python3*/site-packages/ansible_mitogen")
        return package / "plugins/strategy"


def install() -> Peers:
    """Install the peers' newest releases that this Python can run, once.

    Raises StepError when that fails.
    """
    try:
        folder = environment(cache("bench"), "peers", _WANTED, say)
    except subprocess.CalledProcessError:
        hint = "the lines above say why"
        raise StepError("pip could not install the peers", hint=hint) from None
    (packages,) = folder.glob("lib/python3*/site-packages")
    found = {
        item.metadata["Name"].lower(): item.version
        for item in importlib.metadata.distributions(path=[str(packages)])
    }
    return Peers(folder, {name: found[name] for name in _WANTED})
