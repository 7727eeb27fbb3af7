"""The archive sink: an image as one file that ``docker load``, ``podman load`` and skopeo read."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

from rootwright.errors import ShipError, UsageError
from rootwright.image import parse_references
from rootwright.layer_stream import CHUNK, LayerDigest, LayerStream
from rootwright.sinks import ShippedImage
from rootwright.sinks.oci import END, REF_NAME, OciImage, blob, header, padding

_BLOCK = tarfile.BLOCKSIZE
_DOCUMENT_LIMIT = 16 << 20  # no configuration or manifest is larger; a layer is not read for one
_REST = 64 << 10  # about what the documents behind the layer take


@dataclass(frozen=True)
class _Held:
    """What an archive that is there says of itself. Its layer has yet to be hashed."""

    image: OciImage
    tags: tuple[str, ...]
    layer_start: int
    length: int


class ArchiveSink:
    """A file. It appears under its name only when it is whole.

    path: the file; its folder is made when missing. note: see `rootwright.sinks.Sink`.
    """

    def __init__(self, path: Path, *, note: str = "") -> None:
        self.path = path
        self.name = str(path)
        self.note = note

    def close(self) -> None:
        """Nothing is held open."""

    def current(self, tags: Sequence[str]) -> str | None:
        """Return the digest of the layer in the file when it has exactly these tags."""
        held = self._held()
        return held.image.layer.digest if held and held.tags == _names(tags) else None

    def unchanged(
        self, layer: LayerDigest, config: bytes, tags: Sequence[str]
    ) -> ShippedImage | None:
        """Return the image when the file holds exactly this one, hashing the layer in it."""
        held = self._held()
        if not held or held.tags != _names(tags) or held.image != OciImage(config, layer):
            return None
        with self._writing("reading"), self.path.open("rb") as file:
            file.seek(held.layer_start)
            digest = hashlib.sha256()
            left = layer.size
            while left and (piece := file.read(min(CHUNK, left))):
                digest.update(piece)
                left -= len(piece)
        if f"sha256:{digest.hexdigest()}" != layer.digest:
            return None
        return self._shipped(held.image, tags, length=held.length, sent=0, same=True)

    def ship(
        self, stream: LayerStream, config: Callable[[str], bytes], tags: Sequence[str]
    ) -> ShippedImage:
        """Write the file; see `rootwright.sinks.Sink`."""
        with contextlib.closing(stream), self._writing("writing"):
            names = parse_references(tags)
            held = self._held()
            self.sweep()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._check_room(stream.size)
            with self._unfinished() as (file, finish):
                # The layer's name holds its digest, so its header is written last.
                file.write(bytes(_BLOCK))
                for piece in stream:
                    file.write(piece)
                layer = LayerDigest(stream.size, stream.digest)
                image = OciImage(config(layer.digest), layer)
                file.write(padding(layer.size))
                for documents in (image.blobs(), image.layout(names)):
                    file.writelines(documents)
                file.writelines(image.docker(blob(layer.digest), names))
                file.write(END)
                length = file.tell()
                file.seek(0)
                file.write(header(blob(layer.digest), layer.size))
                file.flush()
                os.fsync(file.fileno())
                finish()
                _sync_folder(self.path.parent)
        same = held is not None and held.image == image and held.tags == _names(tags)
        return self._shipped(image, tags, length=length, sent=stream.sent, same=same)

    def sweep(self) -> None:
        """Remove unfinished files of this name that nobody writes any more."""
        for part in self.path.parent.glob(f".{_escaped(self.path.name)}.*.part"):
            with contextlib.suppress(OSError), part.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                part.unlink()

    @contextlib.contextmanager
    def _unfinished(self) -> Iterator[tuple[IO[bytes], Callable[[], None]]]:
        """Open an unfinished file, and hand out what gives it its name; else nothing is left.

        It has no name at all where the file system can do that, so that the kernel removes it when
        we are killed; elsewhere a name of its own, and a lock that says it is written. Sources:
        open(2), O_TMPFILE; link(2), which does not replace a file, so that there is another name
        in between.
        """
        part = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.part")
        nameless = _open_nameless(part.parent)
        try:
            with nameless or part.open("xb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)

                def finish() -> None:
                    if nameless:
                        # Without a folder's descriptor Python calls link(2), which links the link.
                        folder = os.open(part.parent, os.O_RDONLY | os.O_DIRECTORY)
                        try:
                            os.link(_path_of(file), part.name, dst_dir_fd=folder)
                        finally:
                            os.close(folder)
                    part.replace(self.path)

                yield file, finish
        finally:
            part.unlink(missing_ok=True)

    def _check_room(self, size: int) -> None:
        free = shutil.disk_usage(self.path.parent).free
        if free < size + _REST:
            self._full(f"{size + _REST} bytes are needed, {free} are free")

    def _full(self, how: str) -> NoReturn:
        raise ShipError(
            f"no space left for the archive: {how}",
            where=str(self.path),
            hint="make room there, or give --to another folder's FILE.tar",
        )

    @contextlib.contextmanager
    def _writing(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                self._full(error.strerror or "the disk is full")
            raise ShipError(
                f"{doing} the archive failed: {error.strerror or error}",
                where=str(self.path),
                hint="is its folder one that you may write to? --to FILE.tar names another",
            ) from error

    def _held(self) -> _Held | None:
        """Return what the file holds; None when it is not there or not an archive of ours."""
        try:
            return _read(self.path)
        except (OSError, tarfile.TarError, UsageError, ValueError, LookupError, TypeError):
            return None

    def _shipped(
        self, image: OciImage, tags: Sequence[str], *, length: int, sent: int, same: bool
    ) -> ShippedImage:
        return ShippedImage(
            id=image.id,
            digest=image.layer.digest,
            size=length,
            tags=_names(tags),
            sent_bytes=sent,
            state="ok" if same else "changed",
        )


def _names(tags: Sequence[str]) -> tuple[str, ...]:
    """Return the tags in the one form in which they are written and compared."""
    return tuple(str(name) for name in parse_references(tags))


def _escaped(name: str) -> str:
    """Return name so that glob takes it literally."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def _read(path: Path) -> _Held:
    """Return what an archive holds; raises one of many errors when it is not one of ours."""
    with tarfile.open(path, "r:") as archive:
        members = {member.name: member for member in archive}

        def document(name: str) -> bytes:
            file = archive.extractfile(members[name])
            if file is None or members[name].size > _DOCUMENT_LIMIT:
                raise ValueError(f"not a document: {name}")
            return file.read()

        index = json.loads(document("index.json"))
        tags = tuple(entry["annotations"][REF_NAME] for entry in index["manifests"])
        digest = index["manifests"][0]["digest"]
        manifest = json.loads(document(blob(digest)))
        layer = manifest["layers"][0]["digest"]
        image = OciImage(
            document(blob(manifest["config"]["digest"])),
            LayerDigest(members[blob(layer)].size, layer),
        )
        # Whatever else the documents say, they are ours when we would write these very bytes.
        names = parse_references(tags)
        for written in (*image.layout(names), *image.docker(blob(layer), names)):
            name = tarfile.TarInfo.frombuf(written[:_BLOCK], "utf-8", "strict").name
            if document(name) != written[_BLOCK:][: members[name].size]:
                raise ValueError(f"not as written: {name}")
        if image.manifest != document(blob(digest)):
            raise ValueError("not as written: the manifest")
        return _Held(image, tags, members[blob(layer)].offset_data, path.stat().st_size)


def _path_of(file: IO[bytes]) -> str:
    return f"/proc/self/fd/{file.fileno()}"


def _open_nameless(folder: Path) -> IO[bytes] | None:
    """Open a new file in a folder, without a name; None where that cannot be done."""
    if not hasattr(os, "O_TMPFILE"):
        return None
    try:
        file = os.fdopen(os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o666), "wb")
    except OSError:  # what does not come of the file system's limits comes again with a name
        return None
    if Path(_path_of(file)).exists():  # else it could get none later: no /proc
        return file
    file.close()
    return None


def _sync_folder(folder: Path) -> None:
    """Make a rename in folder outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
