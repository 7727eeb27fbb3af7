"""Other people's Python programs, in a virtual environment apart from ours that is made once."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

_STAMP = "wanted.json"


def cache(purpose: str) -> Path:
    """Return the folder for what takes long to get and is good for the next time."""
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(base) / "rootwright" / purpose


def environment(
    parent: Path, name: str, packages: Sequence[str], say: Callable[[str], None]
) -> Path:
    """Install the newest releases of packages that this Python can run, once; return the folder.

    parent, name: of the folder, to which Python's version is added.
    say: told when it takes a while.
    Raises subprocess.CalledProcessError when pip cannot; its own words then stand on stderr.
    """
    folder = parent / f"{name}-{sys.version_info.major}.{sys.version_info.minor}"
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two who want it at the same time make it once
        stamp = folder / _STAMP
        if not stamp.is_file() or json.loads(stamp.read_text()) != list(packages):
            say(f"Installing {', '.join(packages)}, once …")
            shutil.rmtree(folder, ignore_errors=True)
            venv.create(folder, with_pip=True)
            pip = [
                str(folder / "bin/python"),
                "-I",
                "-m",
                "pip",
                "-qq",
                "--disable-pip-version-check",
            ]
            subprocess.run([*pip, "install", *packages], check=True)
            stamp.write_text(json.dumps(list(packages)))
    return folder
