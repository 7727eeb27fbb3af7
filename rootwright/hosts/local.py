"""This machine as a host."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pexpect

from rootwright.hosts.base import ByteStream, Host
from rootwright.hosts.terminal import READ_SIZE, Bounded, Terminal

if TYPE_CHECKING:
    Pty = pexpect.spawn[bytes]
else:
    Pty = pexpect.spawn  # generic in its type stubs only


class LocalHost(Host):
    """This machine."""

    def _start_terminal(self, command: str) -> Terminal:
        return LocalTerminal(["/bin/sh", "-c", command], self.name)

    def _start_stream(self, command: str, first_line: bytes) -> ByteStream:
        return _ProcessStream(command, first_line)

    def close(self) -> None:
        """Nothing to leave."""


class _ProcessStream(ByteStream):
    def __init__(self, command: str, first_line: bytes) -> None:
        self._errors = b""
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
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
        self._errors = self._process.stderr.read()

    def read(self, size: int) -> bytes:
        return self._output.read(size)

    def finish(self) -> tuple[int, str]:
        self._reader.join()
        return self._process.wait(), self._errors.decode(errors="backslashreplace")

    def close(self) -> None:
        self._output.close()
        self._reader.join()
        self._process.wait()
        if self._process.stderr:
            self._process.stderr.close()


def _widen(descriptor: int) -> None:
    """Let a pipe hold a MiB: fewer turns between writer and reader. fcntl(2), F_SETPIPE_SZ."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, 1024 * 1024)


class _LocalSpawn(Bounded, Pty):
    """A child of ours on a pseudo-terminal."""

    ptyproc: Any  # pexpect's stubs leave it out


class LocalTerminal(Terminal):
    """A shell of ours on a pseudo-terminal of this machine."""

    def __init__(self, argv: Sequence[str], name: str) -> None:
        """Start the program."""
        self._process = _LocalSpawn(
            argv[0],
            list(argv[1:]),
            timeout=None,
            maxread=READ_SIZE,
            echo=False,
            dimensions=(24, 200),
            env=os.environ | {"TERM": "dumb", "LC_ALL": "C"},
        )
        # pexpect's pause before sending is for programs that turn their echo off late.
        self._process.delaybeforesend = None
        self._process.ptyproc.delayafterclose = 0.0
        self._process.delayafterread = None
        super().__init__(self._process, name)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._process.child_fd, view) :]

    def hang_up(self) -> None:
        """Tell the shell that its terminal is gone."""
        with contextlib.suppress(OSError):
            os.kill(self._process.pid or 0, signal.SIGHUP)

    def close(self) -> None:
        """Close the terminal; what still runs on it is hung up by the kernel."""
        with contextlib.suppress(pexpect.ExceptionPexpect, OSError):
            self._process.close(force=False)
