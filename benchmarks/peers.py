"""The peers: other people's programs, in a virtual environment of their own."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import say
from rootwright.errors import StepError

_WANTED = ("ansible-core", "mitogen", "pyinfra")
_STAMP = "wanted.json"


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


def cache() -> Path:
    """Return the folder for what takes long to get and is good for the next time."""
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(base) / "rootwright" / "bench"


def install() -> Peers:
    """Install the peers' newest releases that this Python can run, once.

    Raises StepError when that fails.
    """
    folder = cache() / f"peers-{sys.version_info.major}.{sys.version_info.minor}"
    stamp = folder / _STAMP
    if not stamp.is_file() or json.loads(stamp.read_text()) != list(_WANTED):
        say(f"Installing {', '.join(_WANTED)}, once …")
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        pip = [str(folder / "bin/python"), "-I", "-m", "pip", "-qq", "--disable-pip-version-check"]
        done = subprocess.run([*pip, "install", *_WANTED], check=False)
        if done.returncode:
            raise StepError("pip could not install the peers", hint="the lines above say why")
        stamp.write_text(json.dumps(_WANTED))
    (packages,) = folder.glob("lib/python3*/site-packages")
    found = {
        item.metadata["Name"].lower(): item.version
        for item in importlib.metadata.distributions(path=[str(packages)])
    }
    return Peers(folder, {name: found[name] for name in _WANTED})
