"""Host keys: known, unknown, changed.

fabric accepts any key and never reads known_hosts, so both are set here, for a connection and for
each gateway before it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import fabric
import paramiko

from rootwright.errors import HostKeyError


def check_host_keys(connection: fabric.Connection, accept_new: bool) -> None:
    """Make a connection check its host's key against known_hosts, as ~/.ssh/config names them.

    accept_new: write down the key of a host that was never seen.
    A connection then raises HostKeyError for an unknown key, paramiko's BadHostKeyException for a
    changed one.
    """

    class Policy(paramiko.MissingHostKeyPolicy):
        def missing_host_key(
            self, _: paramiko.SSHClient, hostname: str, key: paramiko.PKey
        ) -> None:
            if not accept_new:
                raise _unknown_key(connection, hostname, key)
            _append(files[0], f"{hostname} {key.get_name()} {key.get_base64()}\n")

    configured = connection.ssh_config.get("userknownhostsfile", "~/.ssh/known_hosts")
    files = [Path(name).expanduser() for name in configured.split()]
    system = connection.ssh_config.get("globalknownhostsfile", "/etc/ssh/ssh_known_hosts")
    for path in [*files, *map(Path, system.split())]:
        if path.is_file():
            with tempfile.NamedTemporaryFile("w") as readable:
                readable.writelines(_readable(path))
                readable.flush()
                connection.client.load_system_host_keys(readable.name)
    connection.client.set_missing_host_key_policy(Policy())


def _readable(known_hosts: Path) -> Iterator[str]:
    """Yield the lines that paramiko can read: one that it cannot would cost us all the others."""
    for line in known_hosts.read_text(errors="replace").splitlines():
        with contextlib.suppress(paramiko.SSHException, paramiko.hostkeys.InvalidHostKey):
            if paramiko.hostkeys.HostKeyEntry.from_line(line):
                yield f"{line}\n"


def _append(known_hosts: Path, line: str) -> None:
    known_hosts.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with known_hosts.open("a+b") as file:
        file.seek(0)
        # The last line may have been written by hand, without its end.
        ended = file.read()[-1:] in (b"", b"\n")
        file.write((line if ended else f"\n{line}").encode())


def _fingerprint(key: paramiko.PKey) -> str:
    digest = hashlib.sha256(key.asbytes()).digest()
    return f"{key.get_name()} SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def _unknown_key(connection: fabric.Connection, hostname: str, key: paramiko.PKey) -> HostKeyError:
    login = f"-p {connection.port} {connection.user}@{connection.host}"
    return HostKeyError(
        f"the host's key is unknown: {_fingerprint(key)}",
        where=hostname,
        hint="compare the fingerprint with the host's own (ssh-keygen -lf /etc/ssh/ssh_host_*.pub "
        f"there), then accept it with `ssh {login}` or with --accept-new-host-key",
    )


def changed_key(name: str, port: int, error: paramiko.BadHostKeyException) -> HostKeyError:
    """Return the error for a key that is not the one that was known."""
    entry = error.hostname if port == 22 else f"[{error.hostname}]:{port}"
    return HostKeyError(
        f"the host's key has changed: known {_fingerprint(error.expected_key)}, "
        f"now {_fingerprint(error.key)}",
        where=f"{name} ({entry})",
        hint="someone may be in between. If the change is known to be right, forget the old key "
        f"with `ssh-keygen -R '{entry}'`",
    )
