"""Converging: files, and one of everything, when nothing, one thing, or everything has changed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Literal

from benchmarks import peers
from benchmarks.contenders import (
    Ansible,
    Contender,
    MitogenAnsible,
    PipeliningAnsible,
    Pyinfra,
    Rootwright,
)
from benchmarks.desired import Kind, Wishes, every_kind, files
from benchmarks.lab import FAR, NEAR, Lab, require
from benchmarks.measure import Run, in_turns, say, timed
from benchmarks.results import Case, Findings, Target, first_line
from rootwright.errors import StepError

Changes = Literal["none", "one", "all"]
_WORDS: dict[Changes, str] = {"none": "converged", "one": "one changed", "all": "all changed"}
_SSH = "ssh host true"


def measure(runs: int, budget: float) -> Findings:
    """Measure it. Raises UsageError or StepError."""
    require()
    theirs = peers.install()
    cases: list[Case] = []
    with Lab() as lab:
        ours, pyinfra = Rootwright(lab), Pyinfra(lab, theirs)
        pipelining = PipeliningAnsible(lab, theirs)
        quick = [ours, pyinfra, pipelining]
        mitogen, notes = _fitting(MitogenAnsible(lab, theirs))
        quick += mitogen
        plays: list[tuple[str, Sequence[Kind], Sequence[Contender]]] = [
            ("20 files", files(20), [*quick, Ansible(lab, theirs)]),
            ("200 files", files(200), quick),
            ("3 of every kind", every_kind(3), quick),
        ]
        for name, kinds, contenders in plays:
            cases += _play(lab, name, kinds, contenders, runs, budget)
        sizes = {name: len(kinds) for name, kinds, _ in plays}
    notes = [
        "Every process connects anew; contents, modes and owners are verified after each run.",
        "Runs are in turns, each ratio of one turn; whoever takes long has fewer turns.",
        "200 files and every kind leave out Ansible without pipelining: it takes too long.",
        *notes,
    ]
    versions = {**theirs.versions, "OpenSSH": first_line("ssh", "-V").partition(",")[0]}
    title = "Converging a host over SSH"
    return Findings("converge", title, cases, _targets(cases, sizes), versions, notes)


def _fitting(mitogen: Contender) -> tuple[list[Contender], list[str]]:
    """Return Mitogen, if its release fits that of Ansible; else the note that it does not."""
    wishes = Wishes(mitogen.folder / "trial", files(1))
    try:
        mitogen.once(wishes, NEAR)
    except StepError as error:
        say(f"{mitogen.name} is left out:\n{error.output}")
        return [], ["Mitogen is left out: its newest release does not work with this Ansible."]
    return [mitogen], []


def _play(
    lab: Lab,
    name: str,
    kinds: Sequence[Kind],
    contenders: Sequence[Contender],
    runs: int,
    budget: float,
) -> list[Case]:
    """Measure one play in all its cases."""
    wishes = {one: Wishes(one.folder / name.replace(" ", "-"), kinds) for one in contenders}
    for one in contenders:
        say(f"{name}: {one.name} makes them, not counted")
        one.once(wishes[one], NEAR)
    cases = []
    for network in (NEAR, FAR):
        for changes, words in _WORDS.items():
            what = f"{name}, {words}"
            turns: dict[str, Callable[[], Run]] = {
                one.name: functools.partial(_once, one, wishes[one], network, changes)
                for one in contenders
            }
            if changes == "none":
                turns[_SSH] = functools.partial(_ssh, lab, network)
            cases.append(Case(what, network, in_turns(f"{what}, {network}", turns, runs, budget)))
    return cases


def _once(one: Contender, wishes: Wishes, network: str, changes: Changes) -> Run:
    wanted = wishes.bump(changes)
    run = one.once(wishes, network)
    told = run.facts.get("changed", wanted)
    if told != wanted:
        raise StepError(f"{one.name} changed {told:.0f} things, not {wanted}")
    return run


def _ssh(lab: Lab, network: str) -> Run:
    run, _ = timed([*lab.ssh(network), "true"], env=lab.env)
    return run


def _targets(cases: Sequence[Case], sizes: dict[str, int]) -> list[Target]:
    far = {case.what: case for case in cases if case.where == FAR}

    def against(what: str, peer: str, limit: float) -> Target:
        return Target(f"{what}, {FAR}: Rootwright / {peer}", far[what].ratios(peer), limit)

    still = far["20 files, converged"]
    pairs = zip(still.ours, still.runs[_SSH], strict=True)
    targets = [
        Target(
            f"20 files, converged, {FAR}: Rootwright / (1.5 × `{_SSH}` + 0.6 s)",
            [ours.seconds / (1.5 * theirs.seconds + 0.6) for ours, theirs in pairs],
            1.0,
        ),
        against("20 files, converged", Pyinfra.name, 1 / 12),
        against("20 files, converged", PipeliningAnsible.name, 1 / 30),
        against("200 files, converged", Pyinfra.name, 1 / 60),
        against("20 files, all changed", Pyinfra.name, 1 / 6),
    ]
    for changes, words in _WORDS.items():
        for name, size in sizes.items():
            changed = {"none": 0, "one": 1, "all": size}[changes]
            trips = [run.facts["round_trips"] for run in far[f"{name}, {words}"].ours]
            targets.append(Target(f"{name}, {words}: round trips", trips, 1 + changed))
    return targets
