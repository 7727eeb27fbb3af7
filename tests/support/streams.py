"""A layer's stream from a process here: what a host does for a play, for tests of the receiver."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rootwright.layer import LayerSpec, size_script, stream_script
from rootwright.layer_stream import LayerStream, read_size


class ProcessSource:
    """The bytes that a script writes to stdout."""

    def __init__(self, script: str, shell: Sequence[str] = ("sh",)) -> None:
        self._stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115  (closed with the source)
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
        self._stderr.seek(0)
        return status, self._stderr.read()

    def close(self) -> None:
        if self.process.stdout is not None:
            self.process.stdout.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


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
