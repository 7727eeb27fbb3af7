"""What a session left on this machine, seen from outside: processes, mounts, locks, half a root."""

from __future__ import annotations

import os
import subprocess
import time
import weakref
from contextlib import suppress
from pathlib import Path

SECONDS = 5.0
"""In which all must be gone, however the session ended."""


class Inside:
    """The processes of the session that is open in a root's folder, known by their namespace.

    While this lives, the namespace's number is not given to another one. Where none of them is
    left, the session's mounts are gone too.
    """

    def __init__(self, folder: str) -> None:
        self.unshare = _unshare_of(folder)
        namespace = Path(f"/proc/{self.unshare}/ns/pid_for_children")
        weakref.finalize(self, os.close, os.open(namespace, os.O_RDONLY))
        self._name = namespace.readlink()

    @property
    def keeper(self) -> int:
        """The process that holds the lock and cleans up."""
        stat = Path(f"/proc/{self.unshare}/stat").read_text(errors="replace")
        return int(stat.rpartition(") ")[2].split()[1])

    def processes(self) -> list[int]:
        """Return those that live."""
        return inhabitants(str(self._name))


def inhabitants(namespaces: str) -> list[int]:
    """Return the processes in any of the namespaces, such as ``pid:[4026532183]``."""
    wanted = set(namespaces.split())
    found = []
    for pid in _processes():
        with suppress(OSError):  # it ended while we looked
            if wanted & {str(Path(f"/proc/{pid}/ns/{kind}").readlink()) for kind in ("pid", "mnt")}:
                found.append(pid)
    return found


def remains(folder: str, inside: Inside | str = "") -> list[str]:
    """Return all that is left of a session in a root's folder.

    inside: the session, or its namespaces where no other session runs on this machine.
    """
    pids = set(inhabitants(inside) if isinstance(inside, str) else inside.processes())
    pids |= {pid for pid in _processes() if folder.encode() in _words(pid)}
    left = [f"process {pid}: {b' '.join(_words(pid))[:60]!r}" for pid in sorted(pids)]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    left += [line for line in mounts if f" {folder}" in line]
    left += [str(path) for name in ("*.part", "tree/tmp") for path in Path(folder).glob(name)]
    lock = Path(folder) / "lock"
    if lock.exists():
        if subprocess.run(["flock", "--nonblock", str(lock), "true"]).returncode:
            left.append("the lock is held")
        if lock.read_text():
            left.append(f"the lock still says {lock.read_text()!r}")
    return left


def of_apt(folder: Path) -> list[Path]:
    """Return apt's files in /tmp that it has, or left there, while it works below a folder."""
    found = []
    for path in Path("/tmp").glob("apt.conf.*"):
        with suppress(OSError):  # it was removed while we looked
            if str(folder) in path.read_text(errors="replace"):
                found.append(path)
    return found


def await_nothing(folder: str, inside: Inside | str = "") -> None:
    """Wait until nothing is left. Raises AssertionError, saying what, when time is over."""
    end = time.monotonic() + SECONDS
    while left := remains(folder, inside):
        assert time.monotonic() < end, left
        time.sleep(0.05)


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _words(pid: int) -> list[bytes]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return []


def _unshare_of(folder: str) -> int:
    for pid in _processes():
        words = _words(pid)
        if words[:1] == [b"unshare"] and folder.encode() in words:
            return pid
    raise AssertionError(f"no session is open in {folder}")
