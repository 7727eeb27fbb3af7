"""Several hosts on one machine: an sshd each, and a work dir of its own behind each.

with Fleet(tmp_path, home, {"a": "", "b": "i686"}) as fleet:
    subprocess.run([*waiting_book(tmp_path), *fleet.options("--host", "all")], check=True)
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.support.sshd import LOOPBACK, Sshd


class Fleet:
    """Hosts that differ in what lies in the work dir; they share all else.

    folder: where their things go. home: where the program looks for known_hosts.
    machines: what each says it is, as `Sshd` takes it, by its name.
    servers: each one's server, by its name.
    """

    def __init__(self, folder: Path, home: Path, machines: Mapping[str, str]) -> None:
        self._folder = folder
        self._home = home
        self._machines = machines
        self.work_dir = str(folder / "work")
        self.inventory = folder / "fleet.toml"
        self.servers: dict[str, Sshd] = {}

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as failing:
            for name, machine in self._machines.items():
                server = Sshd(self._folder / name, own=self.work_dir, machine=machine)
                self.servers[name] = failing.enter_context(server)
            self._exit = failing.pop_all()
        for name, server in self.servers.items():
            self.add(name, server.port, server.client_key)
        known = "".join(server.known_hosts_line() for server in self.servers.values())
        (self._home / ".ssh/known_hosts").write_text(known)
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def add(self, name: str, port: int, key: Path | str = "/nowhere") -> None:
        """Describe one more host."""
        with self.inventory.open("a") as file:
            file.write(f'[hosts.{name}]\naddress = "{LOOPBACK}"\nport = {port}\n')
            file.write(f'user = "root"\nkey = "{key}"\n')

    def options(self, *more: str) -> list[str]:
        """Return options that say where the hosts are described, and the work dir."""
        return ["--inventory", str(self.inventory), "--work-dir", self.work_dir, *more]

    def seen_on(self, name: str, path: str) -> Path:
        """Return where something in a host's work dir can be seen from outside."""
        return Path(f"/proc/{self.servers[name].pid}/root{self.work_dir}", path)
