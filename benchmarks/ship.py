"""Shipping: a finished root into a Docker engine, against ``tar | docker import``."""

from __future__ import annotations

import functools
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.contenders import program
from benchmarks.lab import FAR, NEAR, REPOSITORY, Lab, alias, remove, require
from benchmarks.measure import Run, in_turns, say, timed
from benchmarks.results import Case, Findings, Target, first_line
from rootwright.errors import StepError
from tests.support.engine import Engine

_HERE = "this machine"
_OURS, _PIPE = "Rootwright", "tar | docker import"
_ROOTS = {
    "50 MB": (50_000_000, (_HERE, NEAR, FAR)),
    "200 MB": (200_000_000, (_HERE, NEAR, FAR)),
    # Here it would tell nothing more: the engine takes all the time.
    "1 GB": (1_000_000_000, (NEAR, FAR)),
}
_IMAGE = "bench/image:1"
_TAR = "tar --numeric-owner --xattrs --acls -C {} -c ."


def measure(runs: int, budget: float) -> Findings:
    """Measure it. Raises UsageError or StepError."""
    require(("dockerd", "docker.io"), ("docker", "docker.io"))
    cases: list[Case] = []
    with Lab() as lab, Engine(lab.folder / "engine") as engine:
        for name, (size, ways) in _ROOTS.items():
            say(f"{name}: making the tree, not counted")
            shipping = Shipping(lab, engine, lab.folder / "tree", size)
            cases += shipping.cases(name, ways, runs, budget)
            shipping.forget()
    targets = _targets({(case.what, case.where): case for case in cases})
    notes = [
        "Whole processes, from a warm cache into an engine that has no image and whose data is on "
        "the disk, as people have it. Rootwright's seconds include the look at the root, the "
        "digests on both sides, and the configuration that makes the image ID a function of "
        "content.",
        "What bounds it: the engine, which unpacks the layer and digests it whichever way it "
        "comes; with its data in memory instead of on the disk it takes as long. Nearby both wait "
        "for it, and what Rootwright has besides is its own start, the look, and the "
        "configuration: less than half a second, whatever the size.",
        "Over SSH the root is on the host and the engine here: `ssh host tar | docker import`.",
        "MB/s are of the files' bytes. The peak is of the largest process on the controller; the "
        "kernel counts none smaller than the process that starts it, so that of tar is less.",
    ]
    versions = {
        "Docker": first_line("dockerd", "--version").removeprefix("Docker version "),
        "tar": first_line("tar", "--version"),
        "OpenSSH": first_line("ssh", "-V").partition(",")[0],
    }
    return Findings("ship", "Shipping a root into Docker", cases, targets, versions, notes)


class Shipping:
    """One root, shipped in different ways."""

    def __init__(self, lab: Lab, engine: Engine, tree: Path, size: int) -> None:
        self.lab, self.engine, self.tree = lab, engine, tree
        tree.mkdir()
        tree.chmod(0o755)
        # In a process of its own: what it takes in memory would show in what its children take.
        argv = [sys.executable, "-m", "benchmarks.trees", str(tree), str(size)]
        self.size = int(timed(argv, env=lab.env, cwd=REPOSITORY)[1])
        # So that nothing of it is still being written while it is shipped.
        os.sync()

    def forget(self) -> None:
        """Remove the root, and what was made of it."""
        for folder in (self.tree, *self.lab.folder.glob("work-*")):
            remove(folder)

    def cases(self, name: str, ways: Sequence[str], runs: int, budget: float) -> list[Case]:
        """Ship it in these ways."""
        found = []
        for where in ways:
            self.ours(where)  # makes the root, so it is not counted
            turns: dict[str, Callable[[], Run]] = {
                _OURS: functools.partial(self.ours, where),
                _PIPE: functools.partial(self.theirs, where),
            }
            what = f"{name} root"
            taken = in_turns(f"{what}, {where}", turns, runs, budget)
            found.append(Case(what, where, taken, self.size))
        return found

    def ours(self, where: str) -> Run:
        """Ship it with Rootwright."""
        host = [] if where == _HERE else ["--host", alias(where)]
        argv = program(
            *("build-ship", "--json", "--tree", str(self.tree), "--tag", _IMAGE),
            *("--to", f"docker://{self.engine.socket}", "--inventory", str(self.lab.inventory)),
            *("--work-dir", str(self.lab.folder / f"work-{alias(where)}"), *host),
        )
        run, output = self._timed(argv)
        (report,) = json.loads(output)["hosts"]
        if report["image"]["state"] != "changed" or not report["image"]["sent_bytes"]:
            raise StepError("nothing was shipped, though the engine had no image")
        return run.knowing(sent_bytes=report["image"]["sent_bytes"])

    def theirs(self, where: str) -> Run:
        """Ship it as one does by hand."""
        tar = _TAR.format(shlex.quote(str(self.tree)))
        if where != _HERE:
            tar = f"{shlex.join(self.lab.ssh(where))} {shlex.quote(tar)}"
        run, _ = self._timed(["sh", "-c", f"{tar} | {self._docker('import', '-', _IMAGE)}"])
        return run

    def _docker(self, *words: str) -> str:
        return shlex.join(["docker", "-H", self.engine.url, *words])

    def _timed(self, argv: list[str]) -> tuple[Run, str]:
        """Run it on an engine that has no image, on a machine that has nothing left to write."""
        os.sync()
        done = timed(argv, env=self.lab.env, cwd=REPOSITORY)
        images = subprocess.run(
            ["sh", "-c", self._docker("images", "-q")], capture_output=True, text=True, check=True
        )
        if not (found := images.stdout.split()):
            raise StepError("no image arrived")
        subprocess.run(
            ["sh", "-c", self._docker("rmi", "-f", *found)], capture_output=True, check=True
        )
        return done


def _targets(cases: dict[tuple[str, str], Case]) -> list[Target]:
    targets = []
    for (what, where), limit in (
        (("200 MB root", _HERE), 1.15),
        (("200 MB root", NEAR), 1.0),
        (("1 GB root", NEAR), 1.0),
        (("200 MB root", FAR), 1.0),
        (("200 MB root", FAR), 1 / 1.3),
        (("1 GB root", FAR), 1 / 1.3),
    ):
        case = cases[what, where]
        ratio = f"{what}, {where}: seconds of Rootwright / {_PIPE}"
        targets.append(Target(ratio, case.ratios(_PIPE), limit))
    for (what, where), case in cases.items():
        peaks = [run.peak_kib / 1024 for run in case.ours]
        targets.append(Target(f"{what}, {where}: the controller's memory", peaks, 120, " MiB"))
    return targets
