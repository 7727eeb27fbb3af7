"""What a host must offer before a build starts: the checks, as data.

Each check is sh that a session answers with its facts, and a judgement of what it said. `doctor`
prints them all; a play stops at the first lack in its first second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from rootwright.errors import StepError
from rootwright.text import whole_number

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
    """

    name: str
    script: str
    judge: Callable[[str], Verdict]

    @property
    def fact(self) -> str:
        """The name under which the session answers."""
        return "check-" + self.name.replace(" ", "-")


def tool(name: str, package: str | Mapping[str, str]) -> Check:
    """Return the check for a command, with its version, that a package brings.

    package: its name; or, where the names differ, a mapping of ``apt`` and ``pacman`` to them.
    """
    names = {"apt": package, "pacman": package} if isinstance(package, str) else package

    def judge(said: str) -> Verdict:
        if said:
            return Verdict(said)
        mend = f"apt-get install {names['apt']}   (Arch: pacman -S {names['pacman']})"
        return Verdict("not found", f"{name} is missing", mend)

    version = f"{name} --version 2>/dev/null | head -n 1 | grep . || command -v {name}"
    return Check(name, f"command -v {name} >/dev/null && {{ {version}; }}", judge)


_TOOLS = {
    "sha256sum": "coreutils",
    "base64": "coreutils",
    "awk": "gawk",
    "chroot": "coreutils",
    "flock": "util-linux",
}
"""What every play needs, by the package that brings it."""


def _tools(missing: str) -> Verdict:
    for name in missing.split()[:1]:
        return tool(name, _TOOLS.get(name, name)).judge("")
    return Verdict(", ".join(_TOOLS))


def _tar(said: str) -> Verdict:
    version = said.partition("\n")[0]
    if "GNU tar" in version:
        return Verdict(version)
    return Verdict(version or "not found", "tar is not GNU tar", "apt-get install tar")


def _room(said: str) -> Verdict:
    # The fourth of df's columns, whose names are in a line before.
    number = "".join(said.partition("\n")[2].split()[3:4])
    kib = whole_number(number) or 0
    found = f"{kib / 1024**2:.1f} GiB free"
    if kib * 1024 >= ROOM_NEEDED:
        return Verdict(found)
    lack = f"only {kib // 1024} MiB are free where the work dir is"
    return Verdict(found, lack, "free some, or choose another work dir with --work-dir")


def _clock(said: str) -> Verdict:
    now = whole_number(said)
    if now is None:
        return Verdict(said, "the host does not say what time it is", "apt-get install coreutils")
    skew = round(now - time.time())
    if abs(skew) <= SKEW_ALLOWED:
        return Verdict(f"{skew:+d} s")
    return Verdict(
        f"{skew:+d} s", f"the host's clock is {abs(skew)} s off ours", "timedatectl set-ntp true"
    )


_ROOM = Check(
    "disk space",
    'd=$rw_dir; while [ ! -d "$d" ]; do d=${d%/*}; d=${d:-/}; done; df -Pk "$d"',
    _room,
)

_TAR = Check("GNU tar", "tar --version", _tar)
_CLOCK = Check("clock", "date +%s", _clock)

CHECKS = (
    Check("privilege", "id -un", Verdict),
    Check("namespaces", "readlink /proc/self/ns/mnt", Verdict),
    _TAR,
    *(tool(name, package) for name, package in _TOOLS.items()),
    _ROOM,
    _CLOCK,
)
"""Every check, in the order in which they are printed."""

PLAYED = (
    _TAR,
    Check(
        "tools",
        # Without their versions, which nobody reads here: that would take a process for each.
        f"for t in {' '.join(_TOOLS)}; do command -v $t >/dev/null || echo $t; done",
        _tools,
    ),
    _ROOM,
    _CLOCK,
)
"""Those of a play."""


def verdicts(
    facts: Mapping[str, str], checks: Iterable[Check] = CHECKS
) -> list[tuple[Check, Verdict]]:
    """Return what each check found, from the facts of a session that was asked for them."""
    return [(check, check.judge(facts.get(check.fact, ""))) for check in checks]


def require(facts: Mapping[str, str], host: str, *, room: bool) -> None:
    """Raise StepError for the first thing the host lacks.

    room: whether a root is about to be made; otherwise little room is no lack.
    """
    for check, verdict in verdicts(facts, PLAYED):
        if verdict.lack and (room or check is not _ROOM):
            raise StepError(verdict.lack, where=host, hint=verdict.mend)
