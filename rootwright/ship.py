"""From a finished root to an image where it belongs: the layer's scripts, the stream, the sink."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rootwright.errors import ShipError, StepError
from rootwright.hosts import Host
from rootwright.image import image_config, parse_reference
from rootwright.layer import Device, LayerSpec, digest_script, size_script, stream_script
from rootwright.layer_stream import LayerStream, read_digest, read_size
from rootwright.playbook import Recipe
from rootwright.report import ImageReport, Reporter
from rootwright.resource import Device as DeviceResource
from rootwright.session import Session
from rootwright.sinks import ShippedImage, Sink, open_sink
from rootwright.text import harmless, whole_number
from rootwright.together import refuse_shared

_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "i686": "386",
    "ppc64le": "ppc64le",
    "riscv64": "riscv64",
    "s390x": "s390x",
}
"""From ``uname -m`` to the names of Go, which are those of images: OCI image-spec, config.md."""


@dataclass(frozen=True)
class Shipping:
    """Where the images of a run go.

    playbook: its name, for default names. hosts: all hosts of the run.
    to, tags: as given on the command line; they may hold ``{host}``, and ``{arch}`` for what the
        image is for, in the Docker world's words.
    """

    playbook: str
    hosts: Sequence[str]
    to: str | None = None
    tags: Sequence[str] = ()

    @property
    def undecided(self) -> bool:
        """Whether only the hosts can say if two of them would ship to one place."""
        return len(self.hosts) > 1 and any("{arch}" in name for name in [self.to or "", *self.tags])

    def check(self) -> None:
        """Raise UsageError for a tag or a place that is none, or two hosts that share a place.

        Those that share one only if they are of one architecture are let pass.
        """
        # What names an engine is understood when it is opened; all else can be judged at once.
        if self.to is not None and self.to != "docker" and not self.to.startswith("docker:///"):
            open_sink(self.to, Path()).close()
        # As if they were all of different ones.
        refuse_shared({host: self.places(host, f"a{n}") for n, host in enumerate(self.hosts)})

    def places(self, host: str, arch: str) -> list[str]:
        """Return all places that no other host may ship to beside this one."""
        places = [*self.names(host, arch), str(self.archive(host))]
        if self.to and self.to.endswith(".tar"):
            places.append(self._filled(self.to, host, arch))
        return places

    def names(self, host: str, arch: str) -> list[str]:
        """Return the tags that one host's image gets, in full, none twice."""
        default = f"rootwright/{self.playbook}"
        if len(self.hosts) > 1:
            default += ":" + host.replace(":", "-")  # an IPv6 address is a host's name too
        given = [self._filled(tag, host, arch) for tag in self.tags or [default]]
        return list(dict.fromkeys(str(parse_reference(tag)) for tag in given))

    def archive(self, host: str) -> Path:
        """Return the archive that one host's image goes to when no engine answers."""
        suffix = f"-{host}" if len(self.hosts) > 1 else ""
        return Path("dist") / f"{self.playbook}{suffix}.tar"

    def sink(self, host: str, arch: str) -> Sink:
        """Return where one host's image goes. Raises UsageError or ShipError."""
        to = self._filled(self.to, host, arch) if self.to else None
        return open_sink(to, self.archive(host))

    @staticmethod
    def _filled(name: str, host: str, arch: str) -> str:
        return name.replace("{host}", host).replace("{arch}", arch)


def architecture(recipe: Recipe, facts: Mapping[str, str]) -> str:
    """Return what the image of a recipe is for, in the Docker world's words.

    Raises StepError when that is no word: it becomes part of names, of files on this machine too.
    """
    machine = facts.get("arch", "")
    found = recipe.architecture or _ARCHITECTURES.get(machine, machine)
    if re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]{0,31}", found):
        return found
    raise StepError(
        f"the host does not say what kind of machine it is: {harmless(found[:80])!r}",
        hint="`uname -m` must print one word on the host, such as x86_64",
    )


@dataclass(frozen=True)
class _Root:
    """What is known of a root that is about to be shipped."""

    session: Session
    host: Host
    layer: LayerSpec

    def ask(self, script: str) -> str:
        reply = self.session.request(script)
        return reply.output

    def stream(self, progress: Reporter) -> LayerStream:
        name = self.host.name
        size = read_size(self.ask(size_script(self.layer)), name)
        source = self.host.stream(stream_script(self.layer))
        return LayerStream(
            source, size, progress=functools.partial(progress.shipped_bytes, name), where=name
        )


def ship(
    session: Session, host: Host, recipe: Recipe, sink: Sink, tags: Sequence[str], watch: Reporter
) -> ImageReport:
    """Ship the session's root; send nothing when the sink has it under every tag.

    Raises ShipError; then no name was moved and nothing is left behind.
    """
    epoch = _epoch(session)
    root = _Root(session, host, layer_spec(session.folder, recipe, epoch))
    config = functools.partial(_config, recipe, architecture(recipe, session.facts), epoch)
    if sink.current(tags):
        layer = read_digest(root.ask(digest_script(root.layer)), host.name)
        there = sink.unchanged(layer, config(layer.digest), tags)
        if there:
            return _report(there)
    stream = root.stream(watch)
    watch.shipping(host.name, stream.size, sink.name)
    return _report(sink.ship(stream, config, tags))


def layer_spec(folder: str, recipe: Recipe, epoch: int) -> LayerSpec:
    """Return what the layer of a recipe's root is made of.

    Its devices are recorded in the stream rather than read from the root, so that the layer is
    the same whether the host could make them or not.
    """
    devices = tuple(
        Device(r.path, r.kind, r.major, r.minor, r.mode, r.owner, r.group)
        for module in recipe.root
        for r in module.resources()
        if isinstance(r, DeviceResource)
    )
    exclude = tuple(recipe.image.exclude) if recipe.image else ()
    return LayerSpec(f"{folder}/tree/rootfs", epoch, exclude, devices)


def _epoch(session: Session) -> int:
    reply = session.request('rw_use root\nrw_say epoch "${rw_given_epoch:-$rw_epoch}"')
    for kind, payload in reply.records:
        # Eleven digits are enough for the next three thousand years, and dates go no further than
        # the year 9999.
        if kind == "epoch" and (epoch := whole_number(payload, 11)) is not None:
            return epoch
    raise ShipError(
        "the root has no date of its own",
        hint="set SOURCE_DATE_EPOCH, or make the root anew with --fresh",
    )


def _config(recipe: Recipe, arch: str, epoch: int, diff_id: str) -> bytes:
    assert recipe.image
    image = recipe.image
    date = datetime.fromtimestamp(epoch, UTC)
    labels = {
        name: value.replace("{date}", f"{date:%Y%m%d}").replace(
            "{time}", f"{date:%Y-%m-%dT%H:%M:%SZ}"
        )
        for name, value in image.labels.items()
    }
    return image_config(
        architecture=arch,
        created_epoch=epoch,
        diff_id=diff_id,
        cmd=image.cmd,
        entrypoint=image.entrypoint,
        env=image.env,
        labels=labels,
        workdir=image.workdir,
        user=image.user,
        history=[module.history() for module in recipe.root],
    )


def _report(image: ShippedImage) -> ImageReport:
    return ImageReport(
        image.id, image.digest, image.size, image.tags, image.sent_bytes, image.state
    )
