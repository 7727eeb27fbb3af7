"""A layer's stream from a process here: what a host does for a play, for tests of the receiver."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from rootwright.layer import LayerSpec, size_script, stream_script
from rootwright.layer_stream import LayerStream, read_size


class ProcessSource:
    """The bytes that a script writes to stdout."""

    def __init__(self, script: str, shell: Sequence[str] = ("sh",)) -> None:
        self._stderr = os.memfd_create("stderr")
        self.process = subprocess.Popen(
            [*shell, "-c", script],
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )

    def read(self, size: int, /) -> bytes:
        assert self.process.stdout is not None
        data: bytes | None = self.process.stdout.read(size)
        return data or b""

    def finish(self) -> tuple[int, str]:
        status = self.process.wait()
        return status, os.pread(self._stderr, 1 << 20, 0).decode()

    def close(self) -> None:
        if self.process.stdout is not None:
            self.process.stdout.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self._stderr >= 0:
            os.close(self._stderr)
            self._stderr = -1


def output(script: str, shell: Sequence[str] = ("sh",)) -> str:
    """Run a script and return what it printed."""
    done = subprocess.run([*shell, "-c", script], stdout=subprocess.PIPE, check=True)
    return done.stdout.decode()


def layer_of(
    root: Path,
    *,
    spec: LayerSpec | None = None,
    spoil: Callable[[str], str] = lambda script: script,
    progress: Callable[[int], None] | None = None,
) -> LayerStream:
    """Return the stream of a root; spoil: changes the script that makes it, to break it."""
    spec = spec or LayerSpec(str(root), 1_700_000_000)
    size = read_size(output(size_script(spec)))
    return LayerStream(ProcessSource(spoil(stream_script(spec))), size, progress=progress)
