"""A TCP proxy on loopback that makes a network of it: distance, narrow links, losses.

Every chunk is stamped when it is read and passed on one way's delay later, so distance costs no
throughput. It runs in a process of its own: in a thread it would share the interpreter lock with
the code that is being measured.

    with DelayProxy(server.port, rtt=0.05) as proxy:
        ...connect to proxy.port...
        proxy.stall()

By hand: ``python -m tests.support.delay_proxy --target 127.0.0.1:22 --rtt-ms 50`` prints its port
as JSON and then reads commands such as ``{"do": "stall_after", "size": 9}`` from its input.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from tests.support import delay_loop
from tests.support.delay_loop import LOOPBACK, WINDOW

Direction = Literal["up", "down"]
"""From the client to the server, or back."""

Then = Literal["resume", "cut"]
"""What ends a stall."""


@dataclass(frozen=True)
class Counts:
    """What the proxy passed on so far: bytes each way, and connections accepted."""

    up: int
    down: int
    connections: int


class DelayProxy:
    """A proxy to one server; clients connect to `host` and `port`.

    target: the server's port on loopback, or the path of its Unix socket.
    rtt: seconds that a byte and its answer spend on the way together. Connecting takes a round
        trip too: the server is first heard after two.
    rate: bytes a second for each direction, None for no limit.
    window: bytes held at most for each direction of a connection.
    """

    def __init__(
        self,
        target: int | Path,
        *,
        rtt: float = 0.0,
        rate: float | None = None,
        window: int = WINDOW,
    ) -> None:
        address = f"{LOOPBACK}:{target}" if isinstance(target, int) else f"unix:{target}"
        argv = [sys.executable, "-I", "-S", delay_loop.__file__, "--target", address]
        argv += ["--rtt-ms", str(rtt * 1000), "--window", str(window), "--rate", str(rate or 0)]
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self.host = LOOPBACK
        self.port: int = self._reply()["port"]

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
    def url(self) -> str:
        """What DOCKER_HOST says of an engine behind it."""
        return f"tcp://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        """The proxy's process."""
        return self._process.pid

    def cut(self) -> None:
        """Reset every connection, at both ends. New ones are let in."""
        self._do("cut")

    def cut_after(self, size: int, direction: Direction) -> None:
        """Cut once that many more bytes have gone that way, over all connections.

        The end that was receiving gets exactly those bytes and then an end of file; everybody
        else gets a reset. Happens once; new connections are let in.
        """
        self._do("cut_after", size=size, direction=direction)

    def stall(self, direction: Direction | None = None) -> None:
        """Pass nothing on any more, neither bytes nor ends, as a network that lost its way."""
        self._do("stall_after", size=0, direction=direction)

    def stall_after(
        self,
        size: int,
        direction: Direction,
        seconds: float | None = None,
        then: Then = "resume",
    ) -> None:
        """Stall that direction once that many more bytes have gone that way.

        seconds: for how long, None until `resume`. then: go on, or cut every connection.
        """
        self._do("stall_after", size=size, direction=direction, seconds=seconds, then=then)

    def resume(self) -> None:
        """End a stall; forget every cut, stall and throttling that was still to come."""
        self._do("resume")

    def throttle(self, rate: float | None, direction: Direction | None = None) -> None:
        """Let that many bytes a second through, None for no limit."""
        self._do("throttle", rate=rate or 0, direction=direction)

    def throttle_after(self, size: int, rate: float, direction: Direction) -> None:
        """Let that many bytes a second through once that many more bytes have gone that way.

        What was held at that moment passes freely: choose a small window.
        """
        self._do("throttle_after", size=size, rate=rate, direction=direction)

    def counts(self) -> Counts:
        """Return what has been passed on."""
        return Counts(**self._do("counts"))

    def stop(self) -> None:
        """End the proxy and its connections. May be called again."""
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()  # it ends when nobody can command it any more
            self._process.wait()

    def _do(self, what: str, **arguments: object) -> dict[str, Any]:
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"do": what} | arguments).encode() + b"\n")
        self._process.stdin.flush()
        return self._reply()

    def _reply(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the delay proxy ended with status {self._process.wait()}")
        reply: dict[str, Any] = json.loads(line)
        return reply


if __name__ == "__main__":
    delay_loop.main()
