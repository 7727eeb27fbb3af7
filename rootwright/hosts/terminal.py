"""A terminal to a shell on a host, driven by pexpect, whatever carries it."""

from __future__ import annotations

import contextlib
import re
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pexpect
from pexpect.spawnbase import SpawnBase

from rootwright.errors import HostError, StepError

LINE_LIMIT = 16 * 1024 * 1024
"""Bytes a host may send without ending a line; the longest honest record has a few hundred KiB."""

READ_SIZE = 64 * 1024

if TYPE_CHECKING:
    Spawn = SpawnBase[bytes]
else:
    Spawn = SpawnBase  # generic in its type stubs only

# A carriage return ends a line too: programs redraw their progress with it. All lines that are
# there are taken at once, since each turn of pexpect copies what it leaves.
_LINES = re.compile(rb"\A.*[\r\n]", re.DOTALL)
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)")


class Terminal(ABC):
    """What a session needs of a terminal, whatever carries it."""

    def __init__(self, spawn: Spawn, name: str) -> None:
        """Wrap a pexpect object; name is the host, for errors."""
        self._spawn = spawn
        self._name = name
        self._lines: deque[bytes] = deque()

    @abstractmethod
    def _write(self, data: bytes) -> None:
        """Write all of it; OSError or EOFError when that is not possible."""

    @abstractmethod
    def close(self) -> None:
        """Release it; what still runs there is hung up."""

    def send(self, data: bytes) -> None:
        """Type bytes. Raises HostError when nobody is there to read them."""
        try:
            self._write(data)
        except (OSError, EOFError) as e:
            raise HostError(
                f"the session is gone: {e or 'closed'}",
                where=self._name,
                hint="nothing half-made is kept; play again to go on from what is there",
            ) from None

    def expect(
        self, patterns: Sequence[re.Pattern[bytes]], silence: float | None = None
    ) -> tuple[int | None, bytes]:
        """Read up to the end of a line, or to a pattern in an unfinished line.

        Returns 0 and a whole line with its end; or the pattern's number, from 1, and the line so
        far; or -1 and the line so far, which may be empty, when none of these came for ``silence``
        seconds; or None and what is left at the end of everything.
        """
        wanted: list[Any] = [_LINES, *patterns, pexpect.EOF, pexpect.TIMEOUT]
        if not self._lines:
            index = self._spawn.expect(wanted, timeout=silence)
            before: bytes = self._spawn.before or b""
            if index == len(patterns) + 1:
                return None, before
            if index <= len(patterns):
                assert isinstance(self._spawn.match, re.Match)
                if index > 0:
                    return index, before + self._spawn.match.group()
                self._lines.extend(_LINE.findall(self._spawn.match.group()))
            else:
                return -1, before
        return 0, self._lines.popleft()

    def drain(self, seconds: float) -> None:
        """Read and forget until the end, or until so many seconds have passed."""
        end = time.monotonic() + seconds
        with contextlib.suppress(StepError, pexpect.ExceptionPexpect):
            while (left := end - time.monotonic()) > 0:
                self._spawn.read_nonblocking(READ_SIZE, left)


class Bounded(Spawn):
    """Reading that fails when a host sends without end and without ending a line."""

    unended = 0

    def read_nonblocking(self, size: int = 1, timeout: float | None = None) -> bytes:
        """Read as pexpect does. Raises StepError past the limit."""
        data = super().read_nonblocking(size, timeout)
        last = max(data.rfind(b"\n"), data.rfind(b"\r"))
        self.unended = len(data) - last - 1 if last >= 0 else self.unended + len(data)
        if self.unended > LINE_LIMIT:
            raise StepError(
                "the host sends without end",
                hint="a login script or a broken shell on the host may be the cause",
            )
        return data
