"""Building whole images, with Rootwright and by hand."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

from benchmarks.contenders import program
from benchmarks.lab import REPOSITORY, Lab, remove
from benchmarks.measure import Run, timed
from rootwright.errors import StepError
from tests.support.engine import Engine

_IMAGE, _BY_HAND = "bench/image:1", "bench/by-hand:1"


class Builder:
    """Builds one image again and again.

    options: what the playbook is given each time.
    """

    def __init__(self, lab: Lab, engine: Engine, playbook: str, *options: str) -> None:
        self._lab = lab
        self._engine = engine
        self._playbook = playbook
        self._options = options
        self._work = lab.folder / "work"
        # What fetches packages gives up its rights, and must still reach what it fetches.
        lab.folder.chmod(0o755)

    @property
    def root(self) -> Path:
        """The root that Rootwright made."""
        return self._work / self._playbook / "tree/rootfs"

    @property
    def import_(self) -> str:
        """The shell's words that make an image of a tar."""
        return self._docker("import", "-", _BY_HAND)

    def folder(self, name: str) -> Path:
        """Return the name of a folder that is not there."""
        folder = self._lab.folder / name
        remove(folder)
        return folder

    def cold(self, *more: str) -> Run:
        """Build from nothing, on a host that has no root, into an engine that has no image."""
        remove(self._work)
        self._forget(_IMAGE)
        run, changed = self._build(*more)
        if not changed:
            raise StepError("nothing was built, though there was nothing")
        return run

    def again(self, *more: str) -> Run:
        """Build once more; without further options nothing is to change."""
        run, changed = self._build(*more)
        if changed and not more:
            raise StepError("something changed though nothing was to do")
        return run

    def by_hand(self, script: str) -> Run:
        """Run a shell script that makes the image."""
        self._forget(_BY_HAND)
        run, _ = timed(["sh", "-euc", script], env=self._lab.env, cwd=self._lab.folder)
        if not self._has(_BY_HAND):
            raise StepError("no image arrived")
        return run

    def _build(self, *more: str) -> tuple[Run, bool]:
        argv = program(
            *(f"build-{self._playbook}", "--json", *self._options, *more),
            *("--tag", _IMAGE, "--to", f"docker://{self._engine.socket}"),
            *("--inventory", str(self._lab.inventory), "--work-dir", str(self._work)),
        )
        run, output = timed(argv, env=self._lab.env, cwd=REPOSITORY)
        (host,) = json.loads(output)["hosts"]
        return run, bool(host["changed"]) or host["image"]["state"] != "ok"

    def _docker(self, *words: str) -> str:
        return shlex.join(["docker", "-H", self._engine.url, *words])

    def _has(self, image: str) -> bool:
        listed = subprocess.run(
            ["sh", "-c", self._docker("images", "-q", image)],
            capture_output=True,
            text=True,
            check=True,
        )
        return bool(listed.stdout.strip())

    def _forget(self, image: str) -> None:
        if self._has(image):
            subprocess.run(
                ["sh", "-c", self._docker("rmi", "-f", image)], capture_output=True, check=True
            )
