"""Many hosts at once: twenty converged files on each of 1, 10 and 50."""

from __future__ import annotations

import functools
import json

from benchmarks.contenders import program
from benchmarks.desired import Wishes, dump, files
from benchmarks.farm import Farm
from benchmarks.lab import FAR, REPOSITORY, Lab, require
from benchmarks.measure import Run, in_turns, say, timed
from benchmarks.results import Case, Findings, Target
from rootwright.errors import StepError

_COUNTS = (50, 10, 1)  # the first is what the others are compared with


def measure(runs: int, budget: float) -> Findings:
    """Measure it. Raises UsageError or StepError."""
    require(("unshare", "util-linux"))
    with Lab() as lab, Farm(lab, max(_COUNTS)) as farm:
        wishes = Wishes(farm.own, files(20))
        dump(wishes.items(), lab.folder / "items.json")
        say(f"{max(_COUNTS)} hosts are made so, not counted")
        _once(lab, farm, max(_COUNTS), changed=20)
        for name in farm.ports:
            if not all(farm.holds(name, item) for item in wishes.items()):
                raise StepError(f"{name} did not converge")
        turns = {_name(n): functools.partial(_once, lab, farm, n) for n in _COUNTS}
        case = Case("20 files, converged", FAR, in_turns("hosts", turns, runs, budget))
    most, one = max(_COUNTS), min(_COUNTS)
    cpu = [run.cpu_seconds / most for run in case.runs[_name(most)]]
    targets = [
        Target(f"{_name(most)} / {_name(one)}, {FAR}", case.ratios(_name(one)), 3.0),
        Target(f"the controller's CPU time for each of {most}", cpu, 3 * 1.0 / most, " s"),
    ]
    notes = [
        "All hosts are played at the same time (`--parallel`). They share the cores of this "
        "machine with the controller and the delaying proxies: with that many hosts it is their "
        "CPU time, not the distance, that decides.",
    ]
    return Findings("hosts", "Many hosts at once", [case], targets, notes=notes)


def _name(count: int) -> str:
    return f"{count} hosts" if count > 1 else "1 host"


def _once(lab: Lab, farm: Farm, count: int, changed: int = 0) -> Run:
    """Play so many hosts at once; each is to change so many modules."""
    hosts = [word for name in list(farm.ports)[:count] for word in ("--host", name)]
    argv = program(
        *("build-converge", "--json", "--items", str(lab.folder / "items.json"), *hosts),
        *("--parallel", str(max(_COUNTS))),  # by default ten at a time, so five times as long
        *("--inventory", str(lab.inventory), "--work-dir", str(farm.own / "work")),
    )
    run, output = timed(argv, env=lab.env, cwd=REPOSITORY)
    reports = json.loads(output)["hosts"]
    if len(reports) != count or any(report["changed"] != changed for report in reports):
        raise StepError(f"not every host changed {changed} modules")
    return run
