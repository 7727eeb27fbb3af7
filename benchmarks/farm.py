"""Many hosts on one machine: an sshd each, with a work dir and files of its own."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

from benchmarks.desired import Item
from benchmarks.lab import RTT, Lab
from rootwright.errors import StepError
from tests.support.delay_proxy import DelayProxy

_SECONDS = 30.0  # for an sshd to start, with fifty of them starting


class Farm:
    """So many hosts, each behind the long way. Use it as a context manager.

    What makes them different hosts is a mount namespace each, with a file system of its own in
    `own`; the rest they share. ports: of each host, by its name.
    """

    def __init__(self, lab: Lab, count: int) -> None:
        self._lab = lab
        self._count = count
        self._pids: dict[str, int] = {}
        self.own = lab.folder / "own"
        self.own.mkdir(exist_ok=True)
        self.ports: dict[str, int] = {}

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as failing:
            for number in range(self._count):
                name = f"host-{number:02}"
                process, port = self._start(name)
                failing.callback(_end, process)
                self._pids[name] = process.pid
                proxy = failing.enter_context(DelayProxy(port, rtt=RTT))
                self.ports[name] = proxy.port
            self._lab.know(self.ports)
            self._exit = failing.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def holds(self, name: str, item: Item) -> bool:
        """Tell whether something wished in `own` is so on a host."""
        return item.holds(Path(f"/proc/{self._pids[name]}/root"))

    def _start(self, name: str) -> tuple[subprocess.Popen[bytes], int]:
        """Start the sshd of a host; return it and its port."""
        folder = self._lab.folder / name
        folder.mkdir()
        settings = (self._lab.sshd.folder / "sshd_config").read_text()
        with socket.create_server((self._lab.sshd.host, 0)) as free:
            port: int = free.getsockname()[1]
        lines = [
            f"ListenAddress {self._lab.sshd.host}:{port}" if "ListenAddress" in line else line
            for line in settings.splitlines()
        ]
        (folder / "sshd_config").write_text("\n".join([*lines, ""]))
        mount = 'mount -t tmpfs -o mode=755 tmpfs "$1"; exec "$2" -D -f "$3" -E "$4"'
        words = [self.own, "/usr/sbin/sshd", folder / "sshd_config", folder / "log"]
        argv = ["unshare", "--mount", "--propagation", "private"]
        argv += ["sh", "-euc", mount, "sh", *map(str, words)]
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            self._await(process, port)
        except BaseException:
            _end(process)
            raise
        return process, port

    def _await(self, process: subprocess.Popen[bytes], port: int) -> None:
        deadline = time.monotonic() + _SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            with (
                contextlib.suppress(OSError),
                socket.create_connection((self._lab.sshd.host, port)),
            ):
                return
            time.sleep(0.02)
        raise StepError("an sshd of the farm does not start")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait()
