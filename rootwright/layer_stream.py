"""What comes back from the scripts of `rootwright.layer`: sizes, digests, and the stream itself.

Why the care: a tar stream cut at a member boundary is a valid shorter archive to GNU tar and to
every container engine. Whether all of it arrived can only be known by comparing bytes, digests and
tar's exit status, and `LayerStream` lets the last piece go only when all three agree.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from rootwright.errors import ShipError
from rootwright.text import harmless, whole_number

CHUNK = 1 << 20
"""Bytes of one piece of a stream: large enough that per-piece costs vanish, small in memory."""

MARK = "rootwright-layer"
"""The first word of each line that a script writes for us, after anything tar says."""


@dataclass(frozen=True)
class LayerDigest:
    """A layer's length in bytes and its digest, ``sha256:`` and 64 hexadecimal digits."""

    size: int
    digest: str


class _Report:
    """What a script told about its run, apart from the stream."""

    def __init__(self, text: str, where: str) -> None:
        self.where = where
        self._facts = dict(re.findall(rf"^{MARK} (\w+) (\w+)\r?$", text, re.MULTILINE))
        words = [line for line in text.splitlines() if not line.startswith(MARK)]
        self.output = harmless("\n".join(words[-10:]))
        total = re.findall(r"^Total bytes written: (\S+) ", text, re.MULTILINE)
        self.total = whole_number(total[-1]) if total else None

    def number(self, fact: str) -> int | None:
        return whole_number(self._facts.get(fact, ""))

    def digest(self) -> str:
        value = self._facts.get("sha256", "")
        return f"sha256:{value}" if re.fullmatch("[0-9a-f]{64}", value) else ""

    def check_tar(self) -> None:
        """Raise ShipError unless tar ran to its end and found nothing to complain of."""
        status = self.number("tar")
        if status == 0:
            return
        if status is None:
            raise self.failure("the host never said how tar ended", "run it again")
        what = f"tar failed with exit status {status}"
        hint = "the lines above are tar's own: mend what they say, then run it again"
        if status == 1:
            what = "a file changed while it was read into the layer"
            hint = "something still writes to the root: end it, then run it again"
        elif status == 127 or "unrecognized option" in self.output:
            what = "the host has no GNU tar"
            hint = "install GNU tar 1.29 or later on the host"
        elif status > 128:
            what = f"tar was ended by signal {status - 128}"
            hint = "something on the host ended it (a lack of memory?): run it again"
        elif "Input/output error" in self.output:
            what, hint = "the host's disk failed to give a file's contents", "check the host's disk"
        raise self.failure(what, hint)

    def failure(self, what: str, hint: str = "") -> ShipError:
        """Return the error, with the last lines of what the host printed."""
        return ShipError(what, where=self.where, hint=hint, output=self.output)


def read_size(text: str, where: str = "") -> int:
    """Return the stream's length in bytes from what `size_script` printed.

    text: all it printed. where: the host, for errors. ShipError when tar failed.
    """
    report = _Report(text, where)
    report.check_tar()
    headers = report.number("headers")
    if report.total is None or headers is None:
        raise report.failure(
            "the host did not say how large the layer is",
            "its tar must be GNU tar 1.29 or later; `invoke doctor` looks closer",
        )
    return report.total + headers


def read_digest(text: str, where: str = "") -> LayerDigest:
    """Return the stream's length and digest from what `digest_script` printed.

    text: all it printed. where: the host, for errors. ShipError when tar or sha256sum failed.
    """
    size = read_size(text, where)
    report = _Report(text, where)
    if not report.digest():
        raise report.failure(
            "the host gave no digest of the layer", "install coreutils on the host"
        )
    return LayerDigest(size, report.digest())


class ByteSource(Protocol):
    """Where a stream comes from: a process here, or a channel to a host."""

    def read(self, size: int, /) -> bytes:
        """Return up to size bytes, none at the end; OSError or EOFError when it is cut."""

    def finish(self) -> tuple[int, str]:
        """Wait for the script to end; return its exit status and what it wrote to stderr."""

    def close(self) -> None:
        """Let go of everything, ending the script if it still runs; may be called twice."""


class LayerStream:
    """The bytes of a layer, handed on in pieces, the last one only once all are proved right.

    Iterate it once. ``sent`` counts the bytes handed on; ``digest`` is empty until verified, and
    what was handed on is whole exactly when it is set. The iteration raises ShipError when fewer
    or more bytes come than announced, tar's exit status is not 0, the script did not end well, or
    the digest the host took is not that of what arrived. As it raises before the last piece (at
    least `CHUNK` bytes, or all there is, so the end-of-archive mark is in it), whoever passes
    pieces on is left with a stream that lacks its end, and no reader can take it for a whole one.

    source: where the bytes come from. size: how many will come, from `read_size`.
    progress: called with ``sent`` after each piece. where: the host, for errors.
    """

    def __init__(
        self,
        source: ByteSource,
        size: int,
        *,
        progress: Callable[[int], None] | None = None,
        where: str = "",
    ) -> None:
        self.size = size
        self.sent = 0
        self.digest = ""
        self.where = where
        self._came = 0
        self._source = source
        self._progress = progress

    def close(self) -> None:
        """End the stream wherever it is; harmless when it has ended."""
        self._source.close()

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces, about `CHUNK` bytes each."""
        # hashlib lets other threads run while it hashes, so the digest costs no time of its own
        # where there is a second processor. At most one piece waits for it: memory stays bounded.
        hasher = hashlib.sha256()
        hashing: Future[None] | None = None
        held = b""
        with contextlib.closing(self), ThreadPoolExecutor(1) as pool:
            for piece in self._pieces():
                if hashing:
                    hashing.result()
                hashing = pool.submit(hasher.update, piece)
                self._came += len(piece)
                if self._came > self.size:
                    raise self._changed(f"more than {self.size} bytes came")
                if len(piece) >= CHUNK:
                    if held:
                        yield self._passed(held)
                    held = piece
                else:  # the rest, after the last whole piece
                    held += piece
            if hashing:
                hashing.result()
            digest = f"sha256:{hasher.hexdigest()}"
            self._verify(digest)
            self.digest = digest
            if held:
                yield self._passed(held)

    def _passed(self, piece: bytes) -> bytes:
        self.sent += len(piece)
        if self._progress:
            self._progress(self.sent)
        return piece

    def _pieces(self) -> Iterator[bytes]:
        """Yield whole pieces of at least CHUNK bytes, then what is left."""
        parts: list[bytes] = []
        length = 0
        while True:
            try:
                part = self._source.read(CHUNK)
            except (OSError, EOFError) as error:
                self._came += length
                raise self._cut(str(error)) from error
            if not part:
                break
            parts.append(part)
            length += len(part)
            if length >= CHUNK:
                yield parts[0] if len(parts) == 1 else b"".join(parts)
                parts, length = [], 0
        if parts:
            yield b"".join(parts)

    def _verify(self, digest: str) -> None:
        status, text = self._source.finish()
        report = _Report(text, self.where)
        ended = report.number("tar") is not None and report.digest()
        if not ended or report.number("tee") != 0:
            raise self._cut(report.output)
        report.check_tar()
        if status != 0:
            raise self._cut(f"exit status {status}\n{report.output}")
        if self._came != self.size:
            raise self._changed(f"{self._came} bytes came, {self.size} were announced")
        if report.digest() != digest:
            raise ShipError(
                f"the layer changed on its way: the host sent {report.digest()}, {digest} arrived",
                where=self.where,
                hint="check the connection to the host, then run it again",
            )

    def _cut(self, output: str) -> ShipError:
        return ShipError(
            f"the layer's stream was cut after {self._came} of {self.size} bytes",
            where=self.where,
            hint="the connection or the shell on the host ended early: run it again",
            output=harmless(output),
        )

    def _changed(self, how: str) -> ShipError:
        return ShipError(
            f"the root changed between measuring and sending it: {how}",
            where=self.where,
            hint="something still writes to the root: end it, then run it again",
        )
