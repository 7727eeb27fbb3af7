"""``python -m rootwright.sinks.undo SOCKET CLAIM IMAGE``: what a guard runs when we were killed."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from rootwright.errors import RootwrightError
from rootwright.sinks.docker import DockerSink


def undo(socket: str, claim: str, image: str) -> None:
    """Undo a ship of somebody who was killed.

    socket: the engine's, or empty. claim, image: as a `Guard` was told them; image may be empty.
    """
    with (
        contextlib.suppress(RootwrightError),
        contextlib.closing(DockerSink(Path(socket) if socket else None)) as sink,
    ):
        sink.undo(claim, image or None, late=True)


if __name__ == "__main__":
    undo(*sys.argv[1:])
