"""What a session left on this machine, seen from outside: processes, mounts, locks, half a root."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from pathlib import Path

NAMESPACES = 'rw_say namespaces "$(readlink /proc/self/ns/pid) $(readlink /proc/self/ns/mnt)"'
"""Sh for a request: a record of the namespaces the session lives in."""

SECONDS = 5.0
"""In which all must be gone, however the session ended."""


def inhabitants(namespaces: str) -> list[int]:
    """Return the processes in any of the namespaces; without one, its mounts are gone too.

    namespaces: as the record of `NAMESPACES` has them.
    """
    wanted = set(namespaces.split())
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it ended while we looked
                links = {str((entry / "ns" / kind).readlink()) for kind in ("pid", "mnt")}
                if links & wanted:
                    found.append(int(entry.name))
    return found


def namespaces_of(folder: str) -> str:
    """Return the namespaces of the session that is open in a root's folder."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it ended while we looked
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if words[0] == b"unshare" and folder.encode() in words:
                    kinds = ("pid_for_children", "mnt")
                    return " ".join(str((entry / "ns" / kind).readlink()) for kind in kinds)
    raise AssertionError(f"no session is open in {folder}")


def parent(pid: int) -> int:
    """Return a process's parent."""
    stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    return int(stat.rpartition(") ")[2].split()[1])


def unshare_of(namespaces: str) -> int:
    """Return the process that made the namespaces: it has the mounts, but its own PID."""
    pids, mounts = namespaces.split()
    (found,) = set(inhabitants(mounts)) - set(inhabitants(pids))
    return found


def remains(folder: str, namespaces: str) -> list[str]:
    """Return all that is left of a session in a root's folder."""
    left = [f"process {pid}: {_command(pid)}" for pid in inhabitants(namespaces)]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    left += [line for line in mounts if f" {folder}" in line]
    left += [str(path) for path in Path(folder).glob("*.part")]
    lock = Path(folder) / "lock"
    if lock.exists():
        if subprocess.run(["flock", "--nonblock", str(lock), "true"]).returncode:
            left.append("the lock is held")
        if lock.read_text():
            left.append(f"the lock still says {lock.read_text()!r}")
    return left


def await_nothing(folder: str, namespaces: str) -> None:
    """Wait until nothing is left. Raises AssertionError, saying what, when time is over."""
    end = time.monotonic() + SECONDS
    while left := remains(folder, namespaces):
        assert time.monotonic() < end, left
        time.sleep(0.05)


def _command(pid: int) -> str:
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
        return words[:60].decode(errors="replace")
    return "gone"
