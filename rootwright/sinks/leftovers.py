"""Claims on unfinished work: who made it, so that others can tell whether it was abandoned."""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
from pathlib import Path
from types import TracebackType

_open: set[str] = set()


def _here() -> str:
    """Return a name for what process numbers mean here: the boot and the PID namespace."""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = Path("/proc/self/ns/pid").readlink().name
        return boot + namespace.removeprefix("pid:").strip("[]")
    return platform.node()


class Claim:
    """A mark for one piece of unfinished work, good while the block it guards runs.

    ``text`` is one word of letters, digits, ``.``, ``-`` and ``/``.
    """

    def __init__(self) -> None:
        self.text = f"{_here()}/{os.getpid()}/{secrets.token_hex(8)}"

    def __enter__(self) -> Claim:
        """Begin the work."""
        _open.add(self.text)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it, whichever way."""
        _open.discard(self.text)

    @staticmethod
    def is_stale(text: str) -> bool:
        """Return whether the work this claim marks was abandoned.

        Only a process that can be seen from here can be known to have ended, so what was claimed
        elsewhere is left alone.
        """
        here, _, rest = text.partition("/")
        number = rest.partition("/")[0]
        if here != _here() or not number.isdecimal():
            return False
        if int(number) == os.getpid():
            return text not in _open
        try:
            os.kill(int(number), 0)
        except ProcessLookupError:
            return True
        except (PermissionError, OverflowError):
            return False
        return False
