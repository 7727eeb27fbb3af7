"""This machine as a host."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pexpect

from rootwright.hosts.base import ByteStream, Host, PasswordPrompt, last_of
from rootwright.hosts.terminal import READ_SIZE, Bounded, Terminal
from rootwright.secret import public_environment

if TYPE_CHECKING:
    Pty = pexpect.spawn[bytes]
else:
    Pty = pexpect.spawn  # generic in its type stubs only

CLOSING = 5.0
"""Seconds to wait for a shell whose terminal was hung up; the kernel kills what it left."""


class LocalHost(Host):
    """This machine."""

    def __init__(self, name: str, become: str | None, ask: PasswordPrompt) -> None:
        """Nothing is started yet."""
        super().__init__(name, become, ask)
        self._bell = _Bell()

    def _start_terminal(self, command: str) -> Terminal:
        return LocalTerminal(["/bin/sh", "-c", command], self.name, self._bell)

    def _start_stream(self, command: str, first_line: bytes) -> ByteStream:
        return _ProcessStream(command, first_line, self._bell)

    def hang_up(self) -> None:
        """End every wait for what runs here; who waited then closes it."""
        self._bell.ring()

    def reach(self, port: int) -> int:
        """It is ours already."""
        return port

    def close(self) -> None:
        """Leave; there was no connection."""
        self._bell.close()


class _Bell:
    """Ends waiting for descriptors, for good and in every thread.

    A signal would not do: a sudo that we started is not ours to signal.
    """

    def __init__(self) -> None:
        self._near, self._far = socket.socketpair()

    def ring(self) -> None:
        self._far.close()

    def close(self) -> None:
        self._far.close()
        self._near.close()

    def wait(self, descriptor: int, events: int, timeout: float | None = None) -> bool:
        """Tell whether events came in time (seconds). Raises EOFError once the bell has rung."""
        poll = select.poll()
        poll.register(descriptor, events)
        poll.register(self._near, select.POLLIN)
        found = dict(poll.poll(None if timeout is None else max(0, timeout) * 1000))
        if self._near.fileno() in found:
            raise EOFError("hung up")
        return bool(found)


class _ProcessStream(ByteStream):
    def __init__(self, command: str, first_line: bytes, bell: _Bell) -> None:
        self._bell = bell
        self._lost = False
        self._errors = b""
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=public_environment(),
            start_new_session=True,  # a Ctrl-C is for us to understand
        )
        assert self._process.stdin
        assert self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(first_line)
        self._process.stdin.close()
        self._output = self._process.stdout
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()
        _widen(self._output.fileno())

    def _drain(self) -> None:
        assert self._process.stderr
        read = functools.partial(self._process.stderr.read, READ_SIZE)
        self._errors = last_of(iter(read, b""))

    def read(self, size: int) -> bytes:
        try:
            self._bell.wait(self._output.fileno(), select.POLLIN)
        except EOFError:
            self._lost = True
            return b""
        return self._output.read(size)

    def finish(self) -> tuple[int, str]:
        if self._lost:
            self.close()
            return -1, "interrupted"
        self._reader.join()
        return self._process.wait(), self._errors.decode(errors="backslashreplace")

    def close(self) -> None:
        self._output.close()
        if self._process.poll() is None:
            # What runs through sudo is not ours to signal; it ends at its next write.
            with contextlib.suppress(PermissionError, ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
        self._reader.join()
        self._process.wait()
        if self._process.stderr:
            self._process.stderr.close()


def _widen(descriptor: int) -> None:
    """Let a pipe hold a MiB: fewer turns between writer and reader. fcntl(2), F_SETPIPE_SZ."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, 1024 * 1024)


def _default_signals() -> None:
    # Python ignores the broken pipe, nohup the hang-up, and both would be inherited: pipelines
    # would not end, nor the session with its terminal.
    for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)


class _Child(Pty):
    """A child of ours on a pseudo-terminal."""

    ptyproc: Any  # pexpect's stubs leave it out
    bell: _Bell

    def read_nonblocking(self, size: int = 1, timeout: float | None = None) -> bytes:
        """Read as pexpect does, but heed the bell."""
        data = b""
        try:
            # Small pieces are put together: each costs a search through the whole line.
            while len(data) < size and self.bell.wait(
                self.child_fd, select.POLLIN, 0 if data else timeout
            ):
                data += os.read(self.child_fd, size - len(data))
        except (OSError, EOFError) as e:  # Linux: EIO when nobody has the terminal open
            if not data:
                raise pexpect.EOF(str(e)) from None
        if not data:
            raise pexpect.TIMEOUT("nothing to read")
        return data


class _BoundedChild(Bounded, _Child):
    pass


class LocalTerminal(Terminal):
    """A shell of ours on a pseudo-terminal of this machine."""

    def __init__(self, argv: Sequence[str], name: str, bell: _Bell) -> None:
        """Start the program; the bell ends waiting for it."""
        self._process = _BoundedChild(
            argv[0],
            list(argv[1:]),
            timeout=None,
            maxread=READ_SIZE,
            echo=False,
            dimensions=(24, 200),
            env=public_environment() | {"TERM": "dumb", "LC_ALL": "C"},
            preexec_fn=_default_signals,
        )
        self._bell = self._process.bell = bell
        self._process.delayafterread = None
        # ptyprocess would sleep so long when it is collected, after we have waited ourselves.
        self._process.ptyproc.delayafterclose = 0
        os.set_blocking(self._process.child_fd, False)
        super().__init__(self._process, name)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view and self._bell.wait(self._process.child_fd, select.POLLOUT):
            view = view[os.write(self._process.child_fd, view) :]

    def close(self) -> None:
        """Close the terminal, which hangs up what still runs on it, and wait for its shell."""
        self._process.ptyproc.fileobj.close()
        end = time.monotonic() + CLOSING
        with contextlib.suppress(pexpect.ExceptionPexpect):
            while self._process.isalive() and time.monotonic() < end:
                time.sleep(0.01)
