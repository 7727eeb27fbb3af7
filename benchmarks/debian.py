"""Building Debian: cold, anew and again, against the pipelines that people type."""

from __future__ import annotations

import re
import shlex

from benchmarks.building import Builder
from benchmarks.lab import Lab, require
from benchmarks.measure import Run, in_turns, ratios, say
from benchmarks.results import Case, Findings, Target, first_line
from rootwright.errors import StepError
from tests.support.engine import Engine

SUITE = "trixie"
_COLD, _AGAIN, _FRESH = "Rootwright", "Rootwright, again", "Rootwright, --fresh again"
_DEBOOTSTRAP, _MMDEBSTRAP = "debootstrap, tar | docker import", "mmdebstrap | docker import"


def measure(runs: int, budget: float) -> Findings:
    """Measure it. Raises UsageError or StepError."""
    require(
        *(("dockerd", "docker.io"), ("docker", "docker.io")),
        *(("debootstrap", "debootstrap"), ("mmdebstrap", "mmdebstrap")),
    )
    with Lab() as lab, Engine(lab.folder / "engine") as engine:
        builder = Builder(lab, engine, "debian", "--suite", SUITE)
        say("one build to know the mirror, not counted")
        builder.cold()
        hand = _ByHand(builder, _mirror(builder))
        turns = {
            _COLD: builder.cold,
            _AGAIN: builder.again,
            _FRESH: lambda: builder.again("--fresh"),
            _DEBOOTSTRAP: hand.debootstrap,
            _MMDEBSTRAP: hand.mmdebstrap,
        }
        taken = in_turns(f"Debian {SUITE}", turns, runs, budget)
        case = Case(f"Debian {SUITE}, from the mirror into Docker", "this machine", taken)
    targets = [
        Target(f"cold: Rootwright / {_DEBOOTSTRAP}", case.ratios(_DEBOOTSTRAP), 0.6),
        Target(
            f"--fresh again: Rootwright / {_DEBOOTSTRAP}",
            ratios(taken[_FRESH], taken[_DEBOOTSTRAP]),
            0.3,
        ),
        Target("again, nothing to do", [run.seconds for run in taken[_AGAIN]], 3.0, " s"),
    ]
    notes = [
        "Rootwright's image has the security updates and the updates; those by hand have neither. "
        "All fetch from the same mirror, over the network, whose speed is part of the figures.",
        "--fresh again: the Release files are fetched and say the same as before, so the root is "
        "made from the copy that was kept; the engine has the image, so nothing is sent.",
        "Again: the look at the host and the root, the root's digest, and the engine asked for it.",
    ]
    versions = {
        "debootstrap": first_line("debootstrap", "--version").removeprefix("debootstrap "),
        "mmdebstrap": first_line("mmdebstrap", "--version").removeprefix("mmdebstrap "),
        "Docker": first_line("dockerd", "--version").removeprefix("Docker version "),
    }
    return Findings("debian", "Building a base image of Debian", [case], targets, versions, notes)


def _mirror(builder: Builder) -> str:
    """Return where the root was made from."""
    sources = builder.root / "etc/apt/sources.list.d/debian.sources"
    found = re.search(r"^URIs: (\S+)", sources.read_text(), re.MULTILINE)
    if not found:
        raise StepError("the root does not say where it comes from")
    return found[1]


class _ByHand:
    """The pipelines that people type."""

    def __init__(self, builder: Builder, mirror: str) -> None:
        self._builder = builder
        self._mirror = mirror

    def debootstrap(self) -> Run:
        """Run debootstrap into a folder, then tar it into Docker."""
        folder = self._builder.folder("by-hand")
        make = ["debootstrap", "--variant=minbase", SUITE, str(folder), self._mirror]
        tar = f"tar -C {shlex.quote(str(folder))} -c ."
        return self._builder.by_hand(f"{shlex.join(make)} && {tar} | {self._builder.import_}")

    def mmdebstrap(self) -> Run:
        """Have mmdebstrap write the tar."""
        make = ["mmdebstrap", "--variant=minbase", SUITE, "-", self._mirror]
        return self._builder.by_hand(f"{shlex.join(make)} | {self._builder.import_}")
