"""The archive in which an image travels: a tar of blobs, and the documents that tie them together.

The same blobs are described twice, since readers differ: as an OCI image layout (``oci-layout``,
``index.json``: skopeo, containerd) and as a Docker archive (``manifest.json``: ``docker load``).
Every document that makes an image of the blobs comes after the layer, so an archive that lacks its
end holds no image at all.

Sources: OCI image-spec ``image-layout.md``, ``manifest.md``, ``annotations.md``; moby
``image/spec/v1.2.md``.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rootwright.image import Reference, canonical_json, image_id
from rootwright.layer_stream import LayerDigest

REF_NAME = "org.opencontainers.image.ref.name"
FULL_NAME = "io.containerd.image.name"
_BLOCK = tarfile.BLOCKSIZE
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"

END = bytes(2 * _BLOCK)
"""What ends a tar archive."""


def blob(digest: str) -> str:
    """Return where in an image layout the blob with this digest lies."""
    return f"blobs/{digest.replace(':', '/')}"


def header(name: str, size: int) -> bytes:
    """Return the one block that stands before a member of size bytes.

    The time is 0 and the owner root: what is archived has its own times inside. The GNU form holds
    sizes beyond 8 GiB in the same one block.
    """
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def link(name: str, target: str) -> bytes:
    """Return a hard link from name to a member that stands before it."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.LNKTYPE, target
    return info.tobuf(tarfile.GNU_FORMAT)


def padding(size: int) -> bytes:
    """Return what fills the last block of a member of size bytes."""
    return bytes(-size % _BLOCK)


def member(name: str, data: bytes) -> bytes:
    """Return a whole member."""
    return header(name, len(data)) + data + padding(len(data))


@dataclass(frozen=True)
class OciImage:
    """An image as documents: its configuration, its one layer, and the manifest that follows."""

    config: bytes
    layer: LayerDigest

    @property
    def id(self) -> str:
        """The digest of the configuration: the ID on engines that name images by it."""
        return image_id(self.config)

    @property
    def manifest(self) -> bytes:
        """The OCI manifest."""
        return canonical_json(
            {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": _descriptor(_CONFIG, self.id, len(self.config)),
                "layers": [_descriptor(_LAYER, self.layer.digest, self.layer.size)],
            }
        )

    @property
    def manifest_digest(self) -> str:
        """The digest of the manifest: the ID on engines that name images by that."""
        return _digest(self.manifest)

    def blobs(self) -> Iterator[bytes]:
        """Yield the members that hold the configuration and the manifest."""
        yield member(blob(self.id), self.config)
        yield member(blob(self.manifest_digest), self.manifest)

    def layout(self, tags: Sequence[Reference] = ()) -> Iterator[bytes]:
        """Yield the members that make an OCI image layout of the blobs, named tags or unnamed."""
        one = _descriptor(_MANIFEST, self.manifest_digest, len(self.manifest))
        named = [
            one | {"annotations": {REF_NAME: str(tag), FULL_NAME: tag.full}} for tag in tags
        ] or [one]
        yield member("oci-layout", canonical_json({"imageLayoutVersion": "1.0.0"}))
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": named}
        yield member("index.json", canonical_json(index))

    def docker(self, layer: str, tags: Sequence[Reference] = ()) -> Iterator[bytes]:
        """Yield the member that makes a Docker archive of the blobs; layer: the layer's member."""
        entry = {
            "Config": blob(self.id),
            "Layers": [layer],
            "RepoTags": [str(tag) for tag in tags] or None,
        }
        yield member("manifest.json", canonical_json([entry]))


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest, "size": size}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
