"""A guard: a process that outlives ours, and takes away what a killed play left in an engine."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from rootwright.secret import public_environment

# It must cost nothing as long as all is well, so it is a shell until there is something to do.
_WATCH = """\
image=
while read -r line; do
    [ "$line" != done ] || exit 0
    image=$line
done
exec "$0" "$@" "$image"
"""


class Guard:
    """Watches over one ship while the block runs; when we are killed in it, it undoes the ship.

    It is out of reach of what ends us: of the terminal's signals, in a session of its own, and of
    the end of our pipes.

    socket: the engine's, or None, as for `rootwright.sinks.docker.DockerSink`. claim: the text of
    the `Claim` that the ship's import carries.
    """

    def __init__(self, socket: Path | None, claim: str) -> None:
        package = str(Path(__file__).resolve().parents[2])
        paths = filter(None, (package, os.environ.get("PYTHONPATH")))
        words = [sys.executable, "-m", f"{__package__}.undo", str(socket or ""), claim]
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=public_environment() | {"PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,
        )

    def __enter__(self) -> Guard:
        """Begin to watch."""
        return self

    def expect(self, image: str) -> None:
        """Have an image, by its ID, removed too when it has no name by then."""
        self._tell(image)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Dismiss it: whatever had to be undone was undone by ourselves."""
        self._tell("done")
        with contextlib.suppress(BrokenPipeError):  # what was not told is still to be written
            if self._process.stdin:
                self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        # Somebody may have ended it; then a later play sweeps, as after a crash of the machine.
        with contextlib.suppress(BrokenPipeError):
            if self._process.stdin:
                self._process.stdin.write(f"{line}\n".encode())
                self._process.stdin.flush()
