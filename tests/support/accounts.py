"""Users that exist for a test: without privilege, with sudo rights of a chosen kind."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Rights = Literal["passwordless", "password", "none"]
"""What sudo grants: everything, everything against the password, nothing."""

_PREFIX = "rootwright-test-"
_RULES = {"passwordless": "ALL=(ALL:ALL) NOPASSWD: ALL", "password": "ALL=(ALL:ALL) ALL"}


@dataclass(frozen=True)
class Account:
    """A user of this machine; the password is also what sudo asks for."""

    name: str
    password: str
    uid: int
    home: Path


def lacks_accounts() -> str:
    """Return why no account can be made here, empty where one can."""
    if os.geteuid() != 0:
        return "only root can add users"
    missing = [tool for tool in ("useradd", "chpasswd", "sudo", "visudo") if not shutil.which(tool)]
    return f"missing: {', '.join(missing)} (apt-get install passwd sudo)" if missing else ""


@contextmanager
def account(rights: Rights, *, defaults: str = "") -> Iterator[Account]:
    """Make a user, and remove it with its home, its processes and its rights.

    rights: what sudo grants it.
    defaults: settings of sudo for it alone, such as ``timestamp_timeout=0``.
    """
    name = _PREFIX + secrets.token_hex(4)
    password = secrets.token_urlsafe(12)
    rules = Path("/etc/sudoers.d") / name
    subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", name], check=True)
    try:
        subprocess.run(["chpasswd"], input=f"{name}:{password}\n", text=True, check=True)
        lines = [f"{name} {_RULES[rights]}"] if rights != "none" else []
        lines += [f"Defaults:{name} {defaults}"] if defaults else []
        _write_rules(rules, "".join(f"{line}\n" for line in lines))
        entry = subprocess.run(
            ["getent", "passwd", name], check=True, capture_output=True, text=True
        ).stdout.split(":")
        yield Account(name, password, int(entry[2]), Path(entry[5]))
    finally:
        rules.unlink(missing_ok=True)
        _remove(name)


def _write_rules(path: Path, text: str) -> None:
    """Check rules before sudo sees them: one wrong line would disable sudo for everybody."""
    draft = path.with_suffix(".draft")  # sudo skips names with a dot
    draft.touch(0o440)
    draft.write_text(text)
    try:
        subprocess.run(["visudo", "-c", "-q", "-f", str(draft)], check=True)
        draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)


def _remove(name: str) -> None:
    uid = int(subprocess.check_output(["id", "-u", name]))
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError):
                if entry.stat().st_uid == uid:
                    os.kill(int(entry.name), signal.SIGKILL)
    for folder in ("/var/lib/sudo/lectured", "/run/sudo/ts"):
        for mark in (name, str(uid)):
            (Path(folder) / mark).unlink(missing_ok=True)
    removed = subprocess.run(["userdel", "--force", "--remove", name], capture_output=True)
    if removed.returncode not in (0, 12):  # 12: no mail spool
        raise RuntimeError(f"userdel {name}: {removed.stderr.decode(errors='replace')}")
