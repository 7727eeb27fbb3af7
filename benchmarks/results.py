"""What a group of benchmarks found."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measure import Run, Spread, ratios

FOLDER = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Case:
    """One thing that several did in turns.

    what: the thing, such as ``20 files, converged``. where: the network, or this machine.
    runs: of each contender by its name; the first contender is the one that is compared.
    size: bytes that were moved, 0 where that is not the point.
    """

    what: str
    where: str
    runs: Mapping[str, Sequence[Run]]
    size: int = 0

    @property
    def ours(self) -> Sequence[Run]:
        """The runs of the first contender."""
        return next(iter(self.runs.values()))

    def ratios(self, other: str) -> list[float]:
        """Return our seconds over another's, turn by turn."""
        return ratios(self.ours, self.runs[other])


@dataclass(frozen=True)
class Target:
    """What was promised, and what became of it.

    what: what is compared. values: from turn to turn. limit: what the median may be at the most.
    unit: of values and limit; nothing for a ratio.
    """

    what: str
    values: Sequence[float]
    limit: float
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether it was kept."""
        return Spread.of(self.values).median <= self.limit


def machine() -> dict[str, str]:
    """Return what kind of machine this is, and nothing that would tell which."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    kernel = re.match(r"\d+\.\d+", platform.release())
    return {
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.0f} GiB",
        "architecture": platform.machine(),
        "kernel": f"{platform.system()} {kernel[0] if kernel else ''}".strip(),
        "system": _system(),
        "Python": platform.python_version(),
    }


def _system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""


def _today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


@dataclass(frozen=True)
class Findings:
    """All that one group found.

    versions: of the programs that took part. notes: sentences the reader needs.
    date, machine: when and where.
    """

    group: str
    title: str
    cases: Sequence[Case]
    targets: Sequence[Target] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    date: str = field(default_factory=_today)
    machine: Mapping[str, str] = field(default_factory=machine)


def first_line(*argv: str) -> str:
    """Return the first line a program prints, for its version; nothing when it is not there."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return (done.stdout or done.stderr).partition("\n")[0].strip()


def load(group: str, folder: Path = FOLDER) -> Findings | None:
    """Return what was found by a group when it was last run, None if it never was."""
    path = folder / f"{group}.json"
    if not path.is_file():
        return None
    raw = json.loads(path.read_text())
    raw["targets"] = [Target(**target) for target in raw["targets"]]
    raw["cases"] = [
        Case(
            **case
            | {"runs": {name: [Run(**r) for r in runs] for name, runs in case["runs"].items()}}
        )
        for case in raw["cases"]
    ]
    return Findings(**raw)
