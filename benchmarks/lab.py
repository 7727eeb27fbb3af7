"""A place to measure in: a folder, a home, an sshd, and a short and a long way to it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from rootwright.errors import UsageError
from tests.support.delay_proxy import DelayProxy
from tests.support.sshd import Sshd, lacks_sshd

NEAR, FAR = "loopback", "50 ms"
RTT = 0.05
REPOSITORY = Path(__file__).resolve().parent.parent

_OUTSIDE = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def require(*programs: tuple[str, str]) -> None:
    """Raise UsageError unless we are root and have these programs.

    programs: pairs of a program and the package that brings it.
    """
    if os.geteuid() != 0:
        raise UsageError("the benchmarks need root", hint="run them as root, on a machine to spare")
    missing = [package for program, package in programs if not shutil.which(program, path=_OUTSIDE)]
    if missing:
        raise UsageError(
            f"not installed: {', '.join(missing)}",
            where="the benchmarks",
            hint=f"apt-get install {' '.join(missing)}",
        )


class Lab:
    """A folder that goes away in the end, and processes that do. Use it as a context manager.

    folder: for everything. env: what programs are given as their environment.
    """

    def __enter__(self) -> Self:
        require()
        if lack := lacks_sshd():
            raise UsageError(lack, where="the benchmarks")
        self._exit = contextlib.ExitStack()
        with contextlib.ExitStack() as failing:
            self.folder = Path(tempfile.mkdtemp(prefix="rootwright-bench-", dir="/var/tmp"))
            failing.callback(remove, self.folder)
            self.home = self.folder / "home"
            (self.home / ".ssh").mkdir(mode=0o700, parents=True)
            self.env = _environment(self.home)
            # A start-up file of root's shell here would be run for each command over SSH.
            login = self.folder / "login"
            login.mkdir()
            options = [f"SetEnv HOME={login}"]
            self.sshd = failing.enter_context(Sshd(self.folder / "sshd", options=options))
            proxy = failing.enter_context(DelayProxy(self.sshd.port, rtt=RTT))
            self.ports = {NEAR: self.sshd.port, FAR: proxy.port}
            self.know(self.ports)
            self._exit = failing.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def know(self, ports: Mapping[str, int]) -> None:
        """Write what ssh, Rootwright and others need to reach servers with our keys.

        ports: of each by name; each lets root in with the lab's one key.
        """
        self.known_hosts = self.home / ".ssh/known_hosts"
        self.ssh_config = self.home / ".ssh/config"
        self.inventory = self.folder / "hosts.toml"
        known, config, inventory = "", "", ""
        for name, port in ports.items():
            known += f"[{self.sshd.host}]:{port} {self.sshd.host_key}\n"
            config += f"Host {alias(name)}\n  HostName {self.sshd.host}\n  Port {port}\n"
            inventory += (
                f'[hosts.{alias(name)}]\naddress = "{self.sshd.host}"\nport = {port}\n'
                f'user = "root"\nkey = "{self.sshd.client_key}"\n'
            )
        config += (
            f"Host *\n  User root\n  IdentityFile {self.sshd.client_key}\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.known_hosts}\n  StrictHostKeyChecking yes\n"
        )
        self.known_hosts.write_text(known)
        self.ssh_config.write_text(config)
        self.inventory.write_text(inventory)

    def ssh(self, network: str) -> list[str]:
        """Return the argv of OpenSSH's client to the host; a command may follow."""
        return ["ssh", "-F", str(self.ssh_config), alias(network)]


def alias(network: str) -> str:
    """Return what the configurations call the host, reached over a network."""
    return network.replace(" ", "-")


def _environment(home: Path) -> dict[str, str]:
    """Return an environment in which nothing of the user's takes part."""
    kept = ("PATH", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "TMPDIR")
    taken = {name: os.environ[name] for name in kept if name in os.environ}
    return taken | {"HOME": str(home), "LC_ALL": "C.UTF-8", "TERM": "dumb", "PATH": _OUTSIDE}


def remove(folder: Path) -> None:
    """Remove a folder, never across a mount."""
    subprocess.run(["rm", "-rf", "--one-file-system", str(folder)], check=False)
