"""What a host must offer before a build starts: the checks, as data.

Each check is sh that a session answers with its facts, and a judgement of what it said. `doctor`
prints them all; a play stops at the first lack in its first second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rootwright.errors import StepError

ROOM_NEEDED = 600 * 1024 * 1024
"""Bytes a root of the size of Debian's, and the packages it is made of, take while it is made."""

SKEW_ALLOWED = 600
"""Seconds a host's clock may differ from ours: signatures are checked against the clock."""


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    lack: what is wrong, empty when nothing is. mend: the command that mends it.
    """

    found: str
    lack: str = ""
    mend: str = ""


@dataclass(frozen=True)
class Check:
    """One thing a host must offer.

    script: sh that prints what `judge` is given; run in the session, in the root's folder's host.
    brief: the same for a play, which needs no version and has no time; the script unless given.
    """

    name: str
    script: str
    judge: Callable[[str], Verdict]
    brief: str = ""

    @property
    def fact(self) -> str:
        """The name under which the session answers."""
        return "check-" + self.name.replace(" ", "-")


def tool(name: str, package: str) -> Check:
    """Return the check for a command, with its version, that a package brings."""

    def judge(said: str) -> Verdict:
        if said:
            return Verdict(said)
        mend = f"apt-get install {package}   (Arch: pacman -S {package})"
        return Verdict("not found", f"{name} is missing", mend)

    version = f"{name} --version 2>/dev/null | head -n 1 | grep . || command -v {name}"
    found = f"command -v {name}"
    return Check(name, f"{found} >/dev/null && {{ {version}; }}", judge, found)


def _tar(said: str) -> Verdict:
    if "GNU tar" in said:
        return Verdict(said)
    return Verdict(said or "not found", "tar is not GNU tar", "apt-get install tar")


def _room(said: str) -> Verdict:
    kib = int(said) if said.isdecimal() else 0
    found = f"{kib / 1024**2:.1f} GiB free"
    if kib * 1024 >= ROOM_NEEDED:
        return Verdict(found)
    lack = f"only {kib // 1024} MiB are free where the work dir is"
    return Verdict(found, lack, "free some, or choose another work dir with --work-dir")


def _clock(said: str) -> Verdict:
    skew = round(int(said) - time.time()) if said.isdecimal() else 0
    if abs(skew) <= SKEW_ALLOWED:
        return Verdict(f"{skew:+d} s")
    return Verdict(
        f"{skew:+d} s", f"the host's clock is {abs(skew)} s off ours", "timedatectl set-ntp true"
    )


_ROOM = Check(
    "disk space",
    'd=$rw_dir; while [ ! -d "$d" ]; do d=${d%/*}; d=${d:-/}; done; '
    "df -Pk \"$d\" | awk 'NR == 2 { print $4 }'",
    _room,
)

CHECKS = (
    Check("privilege", "id -un", Verdict),
    Check("namespaces", "readlink /proc/self/ns/mnt", Verdict),
    Check("GNU tar", "tar --version | head -n 1", _tar),
    tool("sha256sum", "coreutils"),
    tool("base64", "coreutils"),
    tool("awk", "gawk"),
    tool("chroot", "coreutils"),
    tool("flock", "util-linux"),
    _ROOM,
    Check("clock", "date +%s", _clock),
)
"""Every check, in the order in which they are printed."""


def verdicts(facts: Mapping[str, str]) -> list[tuple[Check, Verdict]]:
    """Return what each check found, from the facts of a session that was asked for them."""
    return [(check, check.judge(facts.get(check.fact, ""))) for check in CHECKS]


def require(facts: Mapping[str, str], host: str, *, room: bool) -> None:
    """Raise StepError for the first thing the host lacks.

    room: whether a root is about to be made; otherwise little room is no lack.
    """
    for check, verdict in verdicts(facts):
        if verdict.lack and (room or check is not _ROOM):
            raise StepError(verdict.lack, where=host, hint=verdict.mend)
