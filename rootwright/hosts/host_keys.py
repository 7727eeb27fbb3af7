"""Host keys: known, unknown, changed, revoked.

fabric accepts any key and never reads known_hosts; paramiko reads no patterns and no markers there.
So keys are judged here, for a connection and for each gateway before it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import fabric
import paramiko

from rootwright.errors import HostKeyError
from rootwright.hosts.known_hosts import Line, lines_about


def check_host_keys(connection: fabric.Connection, name: str, accept_new: bool) -> list[str]:
    """Make a connection check its host's key against known_hosts, as ~/.ssh/config names them.

    name: of the host that is reached in the end, to name in errors.
    accept_new: write down the key of a host that was never seen.
    Returns the kinds of the keys that are known: the host should be asked for one of them.
    The connection then raises HostKeyError for a key that is not to be trusted.
    """
    config = connection.ssh_config
    own = _files(config.get("userknownhostsfile", "~/.ssh/known_hosts"))
    system = _files(config.get("globalknownhostsfile", "/etc/ssh/ssh_known_hosts"))
    entry = _entry(connection)
    lines = list(_lines([*own, *system], entry))
    known = list(_keys(line for line in lines if not line.marker))
    revoked = {line.blob for line in lines if line.marker == "@revoked"}
    authority = any(line.marker == "@cert-authority" for line in lines)

    class Policy(paramiko.MissingHostKeyPolicy):
        # paramiko itself knows no key, and so asks for every one.
        def missing_host_key(self, _: paramiko.SSHClient, __: str, key: paramiko.PKey) -> None:
            if key.asbytes() in revoked:
                raise _revoked_key(name, entry, key)
            if key in known:
                return
            if known:
                expected = next((k for k in known if k.get_name() == key.get_name()), known[0])
                raise _changed_key(name, entry, expected, key)
            if not accept_new:
                raise _unknown_key(connection, entry, key, authority)
            _remember(own, f"{entry} {key.get_name()} {key.get_base64()}\n")

    connection.client.set_missing_host_key_policy(Policy())
    return [key.get_name() for key in known]


def _entry(connection: fabric.Connection) -> str:
    """Return what a host is called in known_hosts. Source: ssh_config(5), HostKeyAlias."""
    if alias := connection.ssh_config.get("hostkeyalias"):
        return str(alias)
    port = connection.port
    return str(connection.host) if port == 22 else f"[{connection.host}]:{port}"


def _files(names: str) -> list[Path]:
    """Return the files that a setting names. Source: ssh_config(5), UserKnownHostsFile."""
    files = []
    for name in names.split():
        try:
            files += [Path(name).expanduser()] if name != "none" else []
        except RuntimeError:
            raise _unusable(Path(name), "there is no such user, so no home either") from None
    return files


def _lines(files: Iterable[Path], entry: str) -> Iterator[Line]:
    for path in files:
        try:
            text = path.read_text(errors="replace") if path.is_file() else ""
        except OSError as e:
            raise _unusable(path, f"it cannot be read: {e.strerror}") from None
        yield from lines_about(text, entry)


def _keys(lines: Iterable[Line]) -> Iterator[paramiko.PKey]:
    """Yield the keys of kinds that we can check; a host is not asked for others."""
    for line in lines:
        with contextlib.suppress(paramiko.SSHException, paramiko.pkey.UnknownKeyType, ValueError):
            yield paramiko.PKey.from_type_string(line.kind, line.blob)


def _remember(known_hosts: Sequence[Path], line: str) -> None:
    """Add a line to the first of the files."""
    if not known_hosts:
        raise _unusable(Path("none"), "there is no file to remember a key in")
    try:
        known_hosts[0].parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with known_hosts[0].open("a+b") as file:
            file.seek(0)
            # The last line may have been written by hand, without its end.
            ended = file.read()[-1:] in (b"", b"\n")
            file.write((line if ended else f"\n{line}").encode())
    except OSError as e:
        raise _unusable(known_hosts[0], f"it cannot be written: {e.strerror}") from None


def _unusable(file: Path, lack: str) -> HostKeyError:
    return HostKeyError(
        f"known_hosts is of no use: {lack}",
        where=str(file),
        hint="without it no host's key can be checked: mend the file, or what ~/.ssh/config says "
        "of UserKnownHostsFile",
    )


def _fingerprint(key: paramiko.PKey) -> str:
    digest = hashlib.sha256(key.asbytes()).digest()
    return f"{key.get_name()} SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def _unknown_key(
    connection: fabric.Connection, entry: str, key: paramiko.PKey, authority: bool
) -> HostKeyError:
    login = f"-p {connection.port} {connection.user}@{connection.host}"
    signed = "known_hosts has an authority for this host, but certificates are not read here; "
    return HostKeyError(
        f"the host's key is unknown: {_fingerprint(key)}",
        where=entry,
        hint=f"{signed if authority else ''}compare the fingerprint with the host's own "
        "(ssh-keygen -lf /etc/ssh/ssh_host_*.pub there), then accept it with "
        f"`ssh {login}` or with --accept-new-host-key",
    )


def _changed_key(
    name: str, entry: str, expected: paramiko.PKey, key: paramiko.PKey
) -> HostKeyError:
    return HostKeyError(
        f"the host's key has changed: known {_fingerprint(expected)}, now {_fingerprint(key)}",
        where=f"{name} ({entry})",
        hint="someone may be in between. If the change is known to be right, forget the old key "
        f"with `ssh-keygen -R '{entry}'`",
    )


def _revoked_key(name: str, entry: str, key: paramiko.PKey) -> HostKeyError:
    return HostKeyError(
        f"the host's key is revoked: {_fingerprint(key)}",
        where=f"{name} ({entry})",
        hint="a line of known_hosts that begins with @revoked says so: whoever has this key is not "
        "to be trusted. Give the host a new key",
    )
