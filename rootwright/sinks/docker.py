"""The Docker sink: an image goes into an engine, and gets its name only once it is proved right.

On an engine that keeps layers and configurations apart (Docker's classic store) the layer is
imported as an unnamed image; the engine's own digest of it is compared with the host's; then a
``docker load`` of an archive of some kilobytes, which leaves the layer out because the engine has
it, commits our configuration; and only then is the image named and the import removed. This writes
the layer once and makes the image ID a function of content.

Other engines (Docker's containerd store, Podman) get the whole archive in one stream, unnamed, the
documents that make an image of it last, and the name after that.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rootwright.errors import RootwrightError, ShipError
from rootwright.image import Reference, parse_references
from rootwright.layer_stream import LayerDigest, LayerStream
from rootwright.sinks import ShippedImage
from rootwright.sinks.engine import Engine
from rootwright.sinks.guard import Guard
from rootwright.sinks.leftovers import Claim
from rootwright.sinks.oci import END, OciImage, blob, header, link, padding

_LABEL = "org.rootwright.unfinished"
_OLD_SECONDS = 24 * 3600  # an import is unfinished for some seconds
_LATE_SECONDS = 3.0  # how long an import may take to appear after its last byte was sent


class DockerSink:
    """An engine that speaks Docker's API.

    socket: its Unix socket; without one, what DOCKER_HOST or the Docker context says.
    ShipError when it does not answer.
    """

    def __init__(self, socket: Path | None = None) -> None:
        self._socket = socket
        self._engine = Engine(socket)
        self.name = self._engine.name
        self.note = ""

    def close(self) -> None:
        """Close the connection to the engine."""
        self._engine.close()

    def current(self, tags: Sequence[str]) -> str | None:
        """Return the digest of the one layer that all tags point at, None when they do not."""
        digests = set()
        for name in parse_references(tags):
            facts = self._engine.inspect(name.full)
            digests.add(tuple(facts["RootFS"].get("Layers") or ()) if facts else ())
        layers = digests.pop() if len(digests) == 1 else ()
        return layers[0] if len(layers) == 1 else None

    def unchanged(
        self, layer: LayerDigest, config: bytes, tags: Sequence[str]
    ) -> ShippedImage | None:
        """Return the image when all tags point at exactly this one, None when one does not."""
        image = OciImage(config, layer)
        names = parse_references(tags)
        found = [self._engine.inspect(name.full) for name in names]
        if any(not facts or facts["Id"] != self._id(image) for facts in found):
            return None
        with contextlib.suppress(ShipError):
            self.sweep()
        return self._shipped(image, names, sent=0, state="ok")

    def ship(
        self, stream: LayerStream, config: Callable[[str], bytes], tags: Sequence[str]
    ) -> ShippedImage:
        """Send the layer, make the image and name it; see `rootwright.sinks.Sink`."""
        with (
            contextlib.closing(stream),
            Claim() as claim,
            Guard(self._socket, claim.text) as guard,
        ):
            names = parse_references(tags)
            self.sweep()
            found = {name: self._engine.inspect(name.full) for name in names}
            old = {name: facts["Id"] for name, facts in found.items() if facts}
            image = self._make(stream, config, claim.text, guard, names, old)
            # A failure to remove the import is none to ship: the next play sweeps it.
            self.undo(claim.text, None, late=self._engine.keeps_layers_apart)
        same = all(old.get(name) == self._id(image) for name in names)
        return self._shipped(image, names, sent=stream.sent, state="ok" if same else "changed")

    def sweep(self) -> None:
        """Remove imports that plays left behind which no longer run."""
        self._remove_imports(_abandoned)

    def _id(self, image: OciImage) -> str:
        """Return the ID the engine gives the image."""
        return image.manifest_digest if self._engine.has_containerd_store else image.id

    def _shipped(
        self,
        image: OciImage,
        names: Sequence[Reference],
        *,
        sent: int,
        state: Literal["ok", "changed"],
    ) -> ShippedImage:
        facts: dict[str, Any] = {}
        with contextlib.suppress(ShipError):  # it is there, proved and named
            facts = self._engine.inspect(self._id(image)) or {}
        return ShippedImage(
            id=self._id(image),
            digest=image.layer.digest,
            size=facts.get("Size", image.layer.size),
            tags=tuple(str(name) for name in names),
            sent_bytes=sent,
            state=state,
        )

    def _make(
        self,
        stream: LayerStream,
        config: Callable[[str], bytes],
        claim: str,
        guard: Guard,
        names: Sequence[Reference],
        old: Mapping[Reference, str],
    ) -> OciImage:
        """Send the layer, make the image and name it, or leave the engine as it was."""
        with self._engine.speaking("listing its images"):
            known = set(self._engine.client.images(quiet=True, all=True))
        image: OciImage | None = None

        def finished() -> OciImage:
            nonlocal image
            if image is None:
                layer = LayerDigest(stream.size, stream.digest)
                image = OciImage(config(stream.digest), layer)
                if self._id(image) not in known:
                    guard.expect(self._id(image))
            return image

        try:
            if self._engine.keeps_layers_apart:
                self._import(stream, claim)
                documents = _documents(finished())
                self._load(iter([documents]), "committing the configuration")
            else:
                self._load(_archive(stream, finished), "taking the layer")
            self._verify(finished())
            self._tag(finished(), names, old)
        except BaseException:
            unwanted = self._id(image) if image else None
            sent = stream.digest if self._engine.keeps_layers_apart else image
            self.undo(claim, unwanted if unwanted not in known else None, late=bool(sent))
            raise
        return finished()

    def _import(self, stream: LayerStream, claim: str) -> None:
        """Send the layer as an unnamed image that carries the claim; check what arrived.

        The stream raises before its last piece unless it is whole, which breaks off the chunked
        request; the engine then discards what it has.
        """
        doing = "taking the layer"
        with self._engine.speaking(doing):
            text = self._engine.client.import_image(
                src=iter(stream), changes=[f"LABEL {_LABEL}={claim}"], stream_src=True
            )
        answers = self._engine.check(map(_json, text.splitlines()), doing)
        imported = str(answers[-1].get("status", "")) if answers else ""
        facts = self._engine.inspect(imported) if imported.startswith("sha256:") else None
        layers = facts["RootFS"]["Layers"] if facts else None
        if layers != [stream.digest]:
            raise ShipError(
                f"the engine holds another layer than was sent: {layers}, not {stream.digest}",
                where=self.name,
                hint="nothing was tagged; look at the engine's log, then run it again",
            )

    def _load(self, archive: Iterator[bytes], doing: str) -> None:
        with self._engine.speaking(doing):
            self._engine.check(self._engine.client.load_image(archive), doing)

    def _verify(self, image: OciImage) -> None:
        facts = self._engine.inspect(self._id(image))
        if not facts or facts["RootFS"]["Layers"] != [image.layer.digest]:
            raise ShipError(
                f"the engine took the image but does not have it as {self._id(image)}",
                where=self.name,
                hint="nothing was tagged; look at the engine's log, then run it again",
            )

    def _tag(
        self, image: OciImage, names: Sequence[Reference], old: Mapping[Reference, str]
    ) -> None:
        """Give the image all its names, or leave every name where it was."""
        done: list[Reference] = []
        try:
            for name in names:
                done.append(name)
                self._name(self._id(image), name)
        except BaseException:
            for name in done:
                with contextlib.suppress(RootwrightError):
                    if name in old:
                        self._name(old[name], name)
                    else:
                        self._remove(name.full)
            raise

    def _name(self, image_id: str, name: Reference) -> None:
        repository = name.full.removesuffix(f":{name.tag}")
        with self._engine.speaking(f"naming the image {name}"):
            self._engine.client.tag(image_id, repository, name.tag)

    def _remove(self, image: str) -> None:
        import docker

        with (
            self._engine.speaking("removing an image"),
            contextlib.suppress(docker.errors.NotFound),
        ):
            self._engine.client.remove_image(image)

    def _remove_imports(self, which: Callable[[dict[str, Any]], bool]) -> bool:
        """Remove those of the unfinished imports; say whether there were any and all are gone.

        One that cannot be removed now is swept by a later play.
        """
        if not self._engine.keeps_layers_apart:
            return False
        with self._engine.speaking("listing its images"):
            listed = self._engine.client.images(filters={"label": _LABEL})
        found = [facts["Id"] for facts in listed if which(facts)]
        gone = 0
        for image in found:
            with contextlib.suppress(ShipError):
                self._remove(image)
                gone += 1
        return bool(found) and gone == len(found)

    def undo(self, claim: str, unwanted: str | None, *, late: bool) -> None:
        """Remove what a ship left besides its image, as far as the engine answers.

        claim: what its import carries. unwanted: the image it made, where it failed; kept where it
        has a name.
        late: the last byte may have been sent, so what is to be removed may yet appear; and an
        engine that died may be started again.
        """
        deadline = time.monotonic() + (_LATE_SECONDS if late else 0)
        found = False
        while True:
            with contextlib.suppress(RootwrightError):
                gone = self._remove_imports(lambda facts: facts["Labels"][_LABEL] == claim)
                facts = self._engine.inspect(unwanted) if unwanted else None
                if facts and unwanted:
                    if not facts["RepoTags"]:  # or another play has named the same image meanwhile
                        self._remove(unwanted)
                    gone = True
                found = gone
            if found or time.monotonic() >= deadline:
                return
            time.sleep(0.1)


def _abandoned(facts: dict[str, Any]) -> bool:
    """Return whether an unfinished import, as the engine lists it, is nobody's any more."""
    old = time.time() - facts["Created"] > _OLD_SECONDS
    return old or Claim.is_stale(facts["Labels"][_LABEL])


def _json(line: str) -> dict[str, object]:
    try:
        answer = json.loads(line)
    except ValueError:
        answer = None
    return answer if isinstance(answer, dict) else {"status": line}


def _documents(image: OciImage) -> bytes:
    """Return the archive that commits a configuration over a layer the engine has."""
    return b"".join([*image.blobs(), *image.docker(blob(image.layer.digest)), END])


def _archive(stream: LayerStream, finished: Callable[[], OciImage]) -> Iterator[bytes]:
    """Yield the whole image as an archive, unnamed.

    The layer's digest is known only once it has passed, so it travels under another name, and a
    link gives it the one that an OCI image layout wants. That name is new each time: containerd
    keeps what it got of a member when a load breaks off, and when a member of the same name comes
    again takes it for the rest of that one, whatever its bytes (ran, with containerd 1.7).
    """
    name = f"{secrets.token_hex(16)}.tar"
    yield header(name, stream.size)
    yield from stream
    image = finished()
    rest = [
        padding(stream.size),
        link(blob(image.layer.digest), name),
        *image.blobs(),
        *image.layout(),
        *image.docker(name),
        END,
    ]
    yield b"".join(rest)
