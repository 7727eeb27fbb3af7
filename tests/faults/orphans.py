"""Descendants that lose their parent become ours, so that none gets out of sight."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


@contextlib.contextmanager
def adopted() -> Iterator[None]:
    """Adopt them in here. prctl(2), PR_SET_CHILD_SUBREAPER."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        bury()
        prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def bury() -> None:
    """Take note of the end of those that have ended: nobody else does."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it is gone, or not a child
                fields = (entry / "stat").read_text(errors="replace").rpartition(") ")[2].split()
                if fields[0] == "Z" and int(fields[1]) == os.getpid():
                    os.waitpid(int(entry.name), os.WNOHANG)
