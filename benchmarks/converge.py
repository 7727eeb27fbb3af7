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
from benchmarks.measure import LEAST, Run, in_turns, say, timed
from benchmarks.results import Case, Findings, Target, first_line
from rootwright.errors import StepError

Changes = Literal["none", "one", "all"]
_WORDS: dict[Changes, str] = {"none": "converged", "one": "one changed", "all": "all changed"}
_SSH = "ssh host true"

_Cases = Sequence[tuple[str, Changes, Sequence[type[Contender]]]]
"""A network, what changes, and who takes part."""

_QUICK = (Rootwright, Pyinfra, PipeliningAnsible, MitogenAnsible)
_PLAYS: Sequence[tuple[str, Sequence[Kind], _Cases]] = (
    (
        "20 files",
        files(20),
        (
            (NEAR, "none", (*_QUICK, Ansible)),
            (NEAR, "all", _QUICK),
            (FAR, "none", _QUICK),
            (FAR, "one", _QUICK),
            (FAR, "all", _QUICK),
        ),
    ),
    ("200 files", files(200), ((FAR, "none", (Rootwright, Pyinfra, MitogenAnsible)),)),
    ("2 of every kind", every_kind(2), ((FAR, "none", _QUICK), (FAR, "all", _QUICK))),
)


def measure(runs: int, budget: float) -> Findings:
    """Measure it. Raises UsageError or StepError."""
    require()
    theirs = peers.install()
    cases: list[Case] = []
    with Lab() as lab:
        everybody: list[Contender] = [Rootwright(lab), Pyinfra(lab, theirs)]
        everybody += [PipeliningAnsible(lab, theirs), Ansible(lab, theirs)]
        mitogen, notes = _fitting(MitogenAnsible(lab, theirs))
        everybody += mitogen
        for name, kinds, wanted in _PLAYS:
            cases += _play(lab, name, kinds, wanted, everybody, runs, budget)
    notes = [
        "Every process connects anew; what it made is verified after each run.",
        "Runs are in turns, each ratio of one turn. Whoever takes long has fewer of them, at least "
        f"{LEAST}; Ansible as it comes is asked for 20 files on loopback only, and with pipelining "
        "not for 200: it takes minutes.",
        "What bounds a play in which nothing changes is the connection: `ssh host true` is all of "
        "it but the interpreter's start and two round trips.",
        "Every kind: " + ", ".join(dict.fromkeys(every_kind(1))) + ".",
        *notes,
    ]
    versions = {**theirs.versions, "OpenSSH": first_line("ssh", "-V").partition(",")[0]}
    title = "Converging a host over SSH"
    return Findings("converge", title, cases, _targets(cases), versions, notes)


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
    wanted: _Cases,
    everybody: Sequence[Contender],
    runs: int,
    budget: float,
) -> list[Case]:
    """Measure one play in all its cases."""
    taking_part = {kind for _, _, who in wanted for kind in who}
    contenders = [one for one in everybody if type(one) in taking_part]
    wishes = {one: Wishes(one.folder / name.replace(" ", "-"), kinds) for one in contenders}
    for one in contenders:
        say(f"{name}: {one.name} makes them, not counted")
        one.once(wishes[one], NEAR)
    cases = []
    for network, changes, who in wanted:
        what = f"{name}, {_WORDS[changes]}"
        turns: dict[str, Callable[[], Run]] = {
            one.name: functools.partial(_once, one, wishes[one], network, changes)
            for one in contenders
            if type(one) in who
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


def _targets(cases: Sequence[Case]) -> list[Target]:
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
    for what, case in far.items():
        trips = [run.facts["round_trips"] for run in case.ours]
        targets.append(Target(f"{what}: round trips", trips, 1 + case.ours[0].facts["changed"]))
    return targets
