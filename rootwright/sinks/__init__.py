"""Sinks: where an image goes. A container engine, or a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from rootwright.errors import ShipError, UsageError
from rootwright.layer_stream import LayerDigest, LayerStream
from rootwright.text import harmless


@dataclass(frozen=True)
class ShippedImage:
    """An image that is where it should be.

    id: as its destination calls it. digest: its layer's. size: bytes it takes there, as an engine
    counts them, or the length of a file. tags: its names. sent_bytes: bytes of the layer that were
    sent. state: ``ok`` when every name stood for this very image already, else ``changed``.
    """

    id: str
    digest: str
    size: int
    tags: tuple[str, ...]
    sent_bytes: int
    state: Literal["ok", "changed"]


class Sink(Protocol):
    """A place for images.

    The caller asks `current` first. When that is the digest of a layer, it has the host take the
    digest of the root (no bytes are sent for that) and asks `unchanged`; when the answer is None,
    or there was no such layer, it calls `ship`.

    name: what to call it in front of people. note: a sentence for them, or nothing.
    """

    name: str
    note: str

    def current(self, tags: Sequence[str]) -> str | None:
        """Return the digest of the one layer that all tags point at, None when they do not."""

    def unchanged(
        self, layer: LayerDigest, config: bytes, tags: Sequence[str]
    ) -> ShippedImage | None:
        """Return the image when all tags point at exactly this one, None when one does not."""

    def ship(
        self, stream: LayerStream, config: Callable[[str], bytes], tags: Sequence[str]
    ) -> ShippedImage:
        """Send the layer, make the image of it and name it.

        stream: the layer; it is closed in the end, whatever happens. config: gives the image's
        configuration once the layer's digest is known. tags: at least one.

        ShipError, or whatever else was raised, KeyboardInterrupt included, leaves every name where
        it was and nothing behind.
        """

    def sweep(self) -> None:
        """Remove what plays left behind that were killed. `ship` begins with it."""

    def close(self) -> None:
        """Let go of it."""


def open_sink(to: str | None, default_archive: Path) -> Sink:
    """Return the sink that ``--to`` names.

    to: ``docker`` (the engine that DOCKER_HOST or the Docker context names), ``docker://SOCKET``
    (an engine's Unix socket), ``FILE.tar``, or None: an engine if one answers, else an archive at
    default_archive and a note that says so.

    UsageError when it is none of these; ShipError when the engine it names does not answer.
    """
    from rootwright.sinks.archive import ArchiveSink
    from rootwright.sinks.docker import DockerSink

    if to is None:
        try:
            return DockerSink()
        except ShipError as error:
            note = (
                f"{error.what[0].upper()}{error.what[1:]}; the image goes into {default_archive}. "
                f"To load it: docker load -i {default_archive}"
            )
            return ArchiveSink(default_archive, note=note)
    if to == "docker":
        return DockerSink()
    if to.startswith("docker://"):
        socket = Path(to.removeprefix("docker://"))
        if not socket.is_absolute():
            raise UsageError(
                f"not a socket's path: {harmless(to)}",
                where="--to",
                hint="write an absolute path: docker:///run/docker.sock",
            )
        return DockerSink(socket)
    if to.endswith(".tar") and "://" not in to:
        return ArchiveSink(Path(to))
    raise UsageError(
        f"no place an image can go to: {harmless(to)}",
        where="--to",
        hint="docker, docker:///path/to/socket, or a file whose name ends in .tar",
    )
