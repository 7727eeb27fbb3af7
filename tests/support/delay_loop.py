"""The proxy's own process: one thread, one epoll, every chunk passed on when its time has come.

Started by `tests.support.delay_proxy`, by path, so that it needs nothing but the standard library.
Prints its port as one line of JSON, then answers each command on its input with another line, and
ends when its input does.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import select
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

LOOPBACK = "127.0.0.1"
WINDOW = 64 << 20
"""Bytes held for each direction of a connection: a gigabyte a second for an RTT of 100 ms."""

_CHUNK = 256 << 10
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER that makes close() send RST


@dataclass
class _Way:
    """One direction of the network, shared by all connections."""

    rate: float  # 0: no limit
    passed: int = 0
    free_at: float = 0.0  # when the throttled link will have carried what was read
    stall_at: int | None = None
    stall_seconds: float | None = None  # None: until it is resumed
    stall_then: str = "resume"  # or "cut"
    stall_until: float | None = None
    cut_at: int | None = None
    slow_at: int | None = None
    slow_rate: float = 0.0

    @property
    def stalled(self) -> bool:
        return self.stall_at is not None and self.passed >= self.stall_at

    @property
    def room(self) -> int:
        """How many bytes may pass before a fault is due."""
        due = [at for at in (self.stall_at, self.cut_at, self.slow_at) if at is not None]
        return min(due, default=1 << 62) - self.passed

    def carry(self, size: int, now: float) -> None:
        """Count bytes that have passed; begin the faults that are due, but for a cut."""
        self.passed += size
        if self.stalled and self.stall_until is None and self.stall_seconds is not None:
            self.stall_until = now + self.stall_seconds
        if self.slow_at is not None and self.passed >= self.slow_at:
            self.rate, self.slow_at, self.free_at = self.slow_rate, None, 0.0

    def stall(self, size: int, seconds: float | None, then: str) -> None:
        """Stall after so many more bytes, for so long."""
        self.stall_at, self.stall_until = self.passed + size, None
        self.stall_seconds, self.stall_then = seconds, then
        self.carry(0, time.monotonic())

    def resume(self) -> None:
        """End a stall, and forget what was still to come."""
        self.stall_at = self.stall_until = self.cut_at = self.slow_at = None


@dataclass(eq=False)
class _Pipe:
    """One direction of one connection."""

    way: _Way
    source: socket.socket
    sink: socket.socket
    queue: deque[tuple[float, memoryview]] = field(default_factory=deque)  # empty: the end
    held: int = 0
    ended: bool = False  # the source has no more
    broken: bool = False  # because it was reset
    blocked: bool = False  # the sink takes no more for now
    done: bool = False  # the end has been passed on


class _Connection:
    """A client, the server, and the two pipes between."""

    def __init__(
        self, client: socket.socket, server: socket.socket, up: _Way, down: _Way, connect_at: float
    ) -> None:
        self.client, self.server = client, server
        self.ends = (self.client, self.server)
        for end in self.ends:
            end.setblocking(False)
            if end.family == socket.AF_INET:
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pipes = (_Pipe(up, client, self.server), _Pipe(down, self.server, client))
        self.connect_at: float | None = connect_at
        self.connected = False
        self.draining: socket.socket | None = None  # what is left after a cut
        self.closed = False
        self.masks = dict.fromkeys(self.ends, 0)


class _Proxy:
    """The loop: one thread, one epoll."""

    def __init__(
        self, target: tuple[str, int] | str, delay: float, rate: float, window: int
    ) -> None:
        self.target, self.delay, self.window = target, delay, window
        self.ways = {"up": _Way(rate), "down": _Way(rate)}
        self.connections: list[_Connection] = []
        self.accepted = 0
        self.commands = b""
        self.epoll = select.epoll()
        self.listener = socket.create_server((LOOPBACK, 0), backlog=1024)
        self.listener.setblocking(False)
        self.epoll.register(self.listener, select.EPOLLIN)

    def run(self) -> None:
        with suppress(PermissionError):  # input that cannot be waited for, such as /dev/null
            self.epoll.register(sys.stdin, select.EPOLLIN)
        print(json.dumps({"port": self.listener.getsockname()[1]}), flush=True)
        while True:
            # select() counts microseconds where epoll counts whole milliseconds.
            select.select([self.epoll], [], [], self.pause())
            ready = dict(self.epoll.poll(0))
            if self.listener.fileno() in ready:
                self.accept()  # first: a cut is for every connection made before it
            if sys.stdin.fileno() in ready and not self.obey():
                return
            self.end_stalls()
            for connection in list(self.connections):
                self.turn(connection, ready)

    def obey(self) -> bool:
        """Carry out the commands that have come; return whether more can come."""
        data = os.read(sys.stdin.fileno(), 1 << 16)
        *lines, self.commands = (self.commands + data).split(b"\n")
        for line in lines:
            command = json.loads(line)
            names = [command["direction"]] if command.get("direction") else list(self.ways)
            ways = [self.ways[name] for name in names]
            print(json.dumps(self.carry_out(command, ways)), flush=True)
        return bool(data)

    def carry_out(self, command: dict[str, Any], ways: list[_Way]) -> dict[str, int]:
        match command["do"]:
            case "cut":
                for connection in list(self.connections):
                    self.close(connection, reset=True)
            case "cut_after":
                for way in ways:
                    way.cut_at = way.passed + command["size"]
            case "stall_after":
                for way in ways:
                    way.stall(
                        command["size"], command.get("seconds"), command.get("then", "resume")
                    )
            case "throttle_after":
                for way in ways:
                    way.slow_at, way.slow_rate = way.passed + command["size"], command["rate"]
            case "resume":
                for way in ways:
                    way.resume()
            case "throttle":
                for way in ways:
                    way.rate, way.free_at = command["rate"], 0.0
            case "counts":
                passed = {name: way.passed for name, way in self.ways.items()}
                return passed | {"connections": self.accepted}
            case unknown:
                raise ValueError(f"no such command: {unknown}")
        return {}

    def end_stalls(self) -> None:
        """End the stalls whose time is over."""
        for way in self.ways.values():
            if way.stall_until is not None and way.stall_until <= time.monotonic():
                then = way.stall_then
                way.resume()
                if then == "cut":
                    for connection in list(self.connections):
                        self.close(connection, reset=True)

    def accept(self) -> None:
        with suppress(BlockingIOError):
            while True:
                client, _ = self.listener.accept()
                self.accepted += 1
                # The client hears its SYN answered at once here. On a real network that takes a
                # round trip, and the server knows of the connection half a round trip later.
                at = time.monotonic() + 3 * self.delay
                family = socket.AF_UNIX if isinstance(self.target, str) else socket.AF_INET
                server = socket.socket(family)
                new = _Connection(client, server, self.ways["up"], self.ways["down"], at)
                self.connections.append(new)

    def turn(self, connection: _Connection, ready: dict[int, int]) -> None:
        """Do all that one connection is ready for."""
        if connection.closed:  # by a fault of another one in this very round
            return None
        if connection.draining:
            return self.drain(connection, connection.draining)
        now = time.monotonic()
        if connection.connect_at is not None and connection.connect_at <= now:
            connection.connect_at = None
            if connection.server.connect_ex(self.target) not in (0, errno.EINPROGRESS):
                return self.close(connection, reset=True)
        if connection.connect_at is None and not connection.connected:
            if connection.server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                return self.close(connection, reset=True)
            with suppress(OSError):  # not yet
                connection.server.getpeername()
                connection.connected = True
        for pipe in connection.pipes:
            events = ready.get(pipe.source.fileno(), 0)
            if events & ~select.EPOLLOUT and self.hungry(pipe, now):
                self.read(pipe, now)
            if ready.get(pipe.sink.fileno(), 0) & ~select.EPOLLIN:
                pipe.blocked = False
        for pipe in connection.pipes:
            if connection.connected and not self.write(connection, pipe, now):
                return None
        if all(pipe.done for pipe in connection.pipes):
            return self.close(connection)
        return self.watch(connection, now)

    def hungry(self, pipe: _Pipe, now: float) -> bool:
        way = pipe.way
        full = pipe.held >= self.window or (way.rate and way.free_at > now)
        return not (pipe.ended or way.stalled or full)

    def read(self, pipe: _Pipe, now: float) -> None:
        way = pipe.way
        size = min(_CHUNK, self.window - pipe.held)
        if way.rate:
            size = min(size, max(1, int(way.rate / 50)))
        try:
            data = pipe.source.recv(size)
        except BlockingIOError:
            return
        except OSError:
            data, pipe.broken = b"", True
        pipe.ended = not data
        pipe.held += len(data)
        pipe.queue.append((now + self.delay, memoryview(data)))
        if way.rate:
            way.free_at = max(now, way.free_at) + len(data) / way.rate

    def write(self, connection: _Connection, pipe: _Pipe, now: float) -> bool:
        """Pass on what is due; return whether the connection lives on."""
        way = pipe.way
        while pipe.queue and not pipe.blocked and not way.stalled and pipe.queue[0][0] <= now:
            due, data = pipe.queue.popleft()
            try:
                if not data and pipe.broken:
                    raise ConnectionResetError
                if not data:
                    pipe.sink.shutdown(socket.SHUT_WR)
                    pipe.done = True
                    break
                sent = pipe.sink.send(data[: way.room])
            except BlockingIOError:
                pipe.blocked, sent = True, 0
            except OSError:
                self.close(connection, reset=True)
                return False
            if sent < len(data):
                pipe.queue.appendleft((due, data[sent:]))
            pipe.held -= sent
            way.carry(sent, now)
            if way.cut_at is not None and way.passed >= way.cut_at:
                self.cut(connection, pipe)
                return False
        return True

    def cut(self, connection: _Connection, pipe: _Pipe) -> None:
        """Reset everybody but the end that just received its last byte.

        A reset would make that end's kernel throw away what it has not read yet.
        """
        pipe.way.cut_at = None
        for other in list(self.connections):
            self.close(other, reset=True, but=pipe.sink)
        with suppress(OSError):
            pipe.sink.shutdown(socket.SHUT_WR)
            connection.draining, connection.closed = pipe.sink, False
            self.connections.append(connection)
            self.mask(connection, pipe.sink, select.EPOLLIN)

    def drain(self, connection: _Connection, end: socket.socket) -> None:
        with suppress(BlockingIOError):
            try:
                over = not end.recv(_CHUNK)
            except ConnectionError:
                over = True
            if over:
                self.close(connection)

    def close(
        self, connection: _Connection, *, reset: bool = False, but: socket.socket | None = None
    ) -> None:
        connection.closed = True
        self.connections.remove(connection)
        for end in connection.ends:
            if end is not but:
                if reset:
                    with suppress(OSError):
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                end.close()  # which also takes it out of epoll

    def watch(self, connection: _Connection, now: float) -> None:
        for taken, given in (connection.pipes, connection.pipes[::-1]):
            end = taken.source
            open_ = end is connection.client or connection.connected
            wanted = select.EPOLLIN if open_ and self.hungry(taken, now) else 0
            connecting = not open_ and connection.connect_at is None
            wanted |= select.EPOLLOUT if given.blocked or connecting else 0
            self.mask(connection, end, wanted)

    def mask(self, connection: _Connection, end: socket.socket, wanted: int) -> None:
        """Say what to wait for; for nothing, unregister: hang-ups are reported unasked."""
        known = connection.masks[end]
        connection.masks[end] = wanted
        if not known and wanted:
            self.epoll.register(end, wanted)
        elif known and not wanted:
            self.epoll.unregister(end)
        elif known != wanted:
            self.epoll.modify(end, wanted)

    def pause(self) -> float | None:
        """Return how many seconds there is nothing to do unless something comes."""
        now = time.monotonic()
        times = list(self.times())
        return max(0.0, min(times) - now) if times else None

    def times(self) -> Iterator[float]:
        yield from (way.stall_until for way in self.ways.values() if way.stall_until is not None)
        for connection in self.connections:
            if connection.connect_at is not None:
                yield connection.connect_at
            for pipe in connection.pipes:
                if pipe.way.stalled or connection.draining:
                    continue
                if pipe.queue and connection.connected and not pipe.blocked:
                    yield pipe.queue[0][0]
                if not (pipe.way.rate and connection.connected) or pipe.ended:
                    continue
                # That time may have come since the source was last told to wait.
                if pipe.held < self.window and not connection.masks[pipe.source] & select.EPOLLIN:
                    yield pipe.way.free_at


def main() -> None:
    parser = argparse.ArgumentParser(description="a TCP proxy that makes a network of loopback")
    parser.add_argument("--target", required=True, metavar="HOST:PORT or unix:PATH")
    parser.add_argument("--rtt-ms", type=float, default=0.0)
    parser.add_argument("--rate", type=float, default=0.0, help="bytes a second; 0: no limit")
    parser.add_argument("--window", type=int, default=WINDOW, help="bytes held each way")
    given = parser.parse_args()
    first, _, last = given.target.rpartition(":")
    target = last if first == "unix" else (first, int(last))
    _Proxy(target, given.rtt_ms / 2000, given.rate, given.window).run()


if __name__ == "__main__":
    main()
