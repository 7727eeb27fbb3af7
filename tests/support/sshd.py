"""A real OpenSSH server on loopback, with keys of its own, that ends with the test.

with Sshd(tmp_path / "sshd") as server:
    subprocess.run([*server.ssh_command(), "true"], check=True)
"""

from __future__ import annotations

import atexit
import base64
import hashlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

LOOPBACK = "127.0.0.1"
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"  # users have no sbin
_SECONDS = 30.0  # to start, on a machine with much else to do
_CONFIG = """\
{options}
ListenAddress {host}:{port}
HostKey "{folder}/host_key"
PidFile none
StrictModes no
UsePAM no
UseDNS no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
{authorized}
MaxAuthTries 20
MaxSessions 1000
MaxStartups 1000
PrintMotd no
PrintLastLog no
X11Forwarding no
LogLevel VERBOSE
Subsystem sftp internal-sftp
"""


def lacks_sshd() -> str:
    """Return why no `Sshd` can run here, empty where one can."""
    if not shutil.which("sshd", path=_PATH):
        return "sshd is missing: apt-get install openssh-server"
    if not Path("/run/sshd").is_dir() and os.geteuid() != 0:
        return "/run/sshd is missing, and only root can make it"
    return ""


def new_key(path: Path) -> str:
    """Write an ed25519 private key to a file; return the public one as ``ssh-ed25519 AAAA…``.

    Made in this process: ssh-keygen would cost a fork for each, and tests want many.
    """
    key = Ed25519PrivateKey.generate()
    path.touch(0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def fingerprint(public_key: str) -> str:
    """Return what ``ssh-keygen -l`` shows of a public key: ``SHA256:…``."""
    digest = hashlib.sha256(base64.b64decode(public_key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


class Sshd:
    """One sshd, listening on 127.0.0.1 at a free port when the constructor returns.

    folder: made if missing; holds configuration, keys and log.
    options: lines of sshd_config that go before, and therefore win over, its own.
    program: what to start instead of this machine's sshd, given sshd's arguments.
    own: a folder that is another one, and empty, for whoever comes in through this server; by it
        several servers are several hosts.
    machine: what the host says it is (``uname -m``), in the words of setarch(8), such as i686.
    port: where it listens.
    client_key: the path of a private key that every user may log in with.
    host_key: its public host key, ``ssh-ed25519 AAAA…``.
    log: sshd's own log.
    """

    def __init__(
        self,
        folder: Path,
        *,
        options: Sequence[str] = (),
        program: Sequence[str] = (),
        own: str = "",
        machine: str = "",
    ) -> None:
        self.folder = folder = folder.absolute()
        self.host = LOOPBACK
        self.port = 0
        self.log = folder / "log"
        self.client_key = folder / "client_key"
        self._options = "\n".join(options)
        self._program = list(program)
        self._before = ["setarch", machine] if machine else []
        if own:
            Path(own).mkdir(parents=True, exist_ok=True)
            mount = 'mount -t tmpfs -o mode=755 tmpfs "$0"; exec "$@"'
            self._before += ["unshare", "--mount", "sh", "-euc", mount, own]
        folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.host_key = new_key(folder / "host_key")
        (folder / "authorized_keys").write_text("")
        self.authorize(new_key(self.client_key))
        self._process = self._start()
        atexit.register(self.stop)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process that listens."""
        return self._process.pid

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the host key it has now."""
        return fingerprint(self.host_key)

    def known_hosts_line(self) -> str:
        """Return the line of known_hosts that vouches for the host key it has now."""
        return f"[{self.host}]:{self.port} {self.host_key}\n"

    def authorize(self, public_key: str) -> None:
        """Let every user log in with one more key."""
        with (self.folder / "authorized_keys").open("a") as file:
            file.write(f"{public_key}\n")

    def config_block(self, alias: str, *more: str) -> str:
        """Return a block for an ssh_config that reaches this server, checking its key.

        alias: what people type; more: further lines, such as ``User builder``.
        """
        known_hosts = self.folder / "known_hosts"
        known_hosts.write_text(self.known_hosts_line())
        lines = [
            f"HostName {self.host}",
            f"Port {self.port}",
            f'IdentityFile "{self.client_key}"',
            "IdentitiesOnly yes",
            f'UserKnownHostsFile "{known_hosts}"',
            "StrictHostKeyChecking yes",
            *more,
        ]
        return f"Host {alias}\n" + "".join(f"  {line}\n" for line in lines)

    def ssh_command(self, user: str = "root") -> list[str]:
        """Return the argv of OpenSSH's client to this server; a command may follow."""
        config = self.folder / f"ssh_config.{user}"
        config.write_text(self.config_block("server", f"User {user}"))
        return ["ssh", "-F", str(config), "server"]

    def new_host_key(self) -> str:
        """Change the host key, as a reinstalled or impersonated host would; return the new one."""
        (self.folder / "host_key").unlink()
        self.host_key = new_key(self.folder / "host_key")
        starts = self._starts()
        self._process.send_signal(signal.SIGHUP)  # sshd executes itself anew, under the same pid
        self._await_start(starts + 1)
        return self.host_key

    def sessions(self) -> list[int]:
        """Return the pids of the sshd processes that serve a connection."""
        parents: dict[int, list[int]] = {}
        names: dict[int, str] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    stat = (entry / "stat").read_text(errors="replace")
                except (FileNotFoundError, ProcessLookupError):
                    continue  # it ended while we looked
                name, _, rest = stat.partition("(")[2].rpartition(") ")
                names[int(entry.name)] = name
                parents.setdefault(int(rest.split()[1]), []).append(int(entry.name))
        found, queue = [], [self.pid]
        while queue:
            children = parents.get(queue.pop(), [])
            queue += children
            # Commands that a session runs are left to notice, as after a real loss.
            found += [pid for pid in children if names[pid].startswith("sshd")]
        return found

    def kill_sessions(self) -> int:
        """End every connection at once, without a word on the wire; return how many processes."""
        pids = self.sessions()
        for pid in pids:
            _kill(pid)
        return len(pids)

    def stop(self) -> None:
        """End the server and its connections. May be called again."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGSTOP)  # so that no session is born meanwhile
            self.kill_sessions()
            self._process.kill()
            self._process.wait()
        atexit.unregister(self.stop)

    def _start(self) -> subprocess.Popen[bytes]:
        program = self._program or [shutil.which("sshd", path=_PATH) or ""]
        if not program[0]:
            raise RuntimeError(lacks_sshd())
        for _ in range(20):  # another process may take the free port first
            with socket.socket() as probe:
                probe.bind((self.host, 0))
                self.port = probe.getsockname()[1]
            config = _CONFIG.format(
                options=self._options,
                host=self.host,
                port=self.port,
                folder=self.folder,
                authorized=self._authorized(),
            )
            (self.folder / "sshd_config").write_text(config)
            starts = self._starts()
            self._process = subprocess.Popen(
                [
                    *self._before,
                    *program,
                    *("-D", "-f", str(self.folder / "sshd_config"), "-E", str(self.log)),
                ],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # a Ctrl-C at the tests is not for it
            )
            if self._await_start(starts + 1):
                return self._process
        raise RuntimeError(f"sshd does not start:\n{self.log.read_text()}")

    def _authorized(self) -> str:
        """Return how keys are looked up: by root, since users cannot read a test's folder."""
        keys = self.folder / "authorized_keys"
        if os.geteuid() != 0:
            return f'AuthorizedKeysFile "{keys}"'
        command = shlex.join(["/bin/cat", str(keys)])
        lines = f"AuthorizedKeysCommand {command}\nAuthorizedKeysCommandUser root"
        return f"AuthorizedKeysFile none\n{lines}"

    def _starts(self) -> int:
        return self.log.read_text().count("Server listening on") if self.log.exists() else 0

    def _await_start(self, starts: int) -> bool:
        """Wait for the log to say that it listens; return whether it does."""
        end = time.monotonic() + _SECONDS
        while self._starts() < starts:
            if self._process.poll() is not None:
                if "Address already in use" in self.log.read_text():
                    return False
                raise RuntimeError(f"sshd does not start:\n{self.log.read_text()}")
            if time.monotonic() > end:
                self._process.kill()
                raise RuntimeError(f"sshd takes too long to start:\n{self.log.read_text()}")
            time.sleep(0.002)
        return True


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):  # it may end by itself
        os.kill(pid, signal.SIGKILL)
