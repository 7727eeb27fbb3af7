"""What a group of benchmarks found, as JSON, as a table, and as a picture."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import plot
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


@dataclass(frozen=True)
class Findings:
    """All that one group found.

    versions: of the programs that took part. notes: sentences the reader needs.
    """

    group: str
    title: str
    cases: Sequence[Case]
    targets: Sequence[Target] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


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


def first_line(*argv: str) -> str:
    """Return the first line a program prints, for its version; nothing when it is not there."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return (done.stdout or done.stderr).partition("\n")[0].strip()


def save(findings: Findings, folder: Path = FOLDER) -> str:
    """Write a group's JSON, table and picture; return the table."""
    folder.mkdir(exist_ok=True)
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    raw = {
        "group": findings.group,
        "date": today,
        "machine": machine(),
        "versions": dict(findings.versions),
        "notes": list(findings.notes),
        "cases": [dataclasses.asdict(case) for case in findings.cases],
        "targets": [
            dataclasses.asdict(target) | {"met": target.met} for target in findings.targets
        ],
    }
    base = folder / findings.group
    base.with_suffix(".json").write_text(json.dumps(raw, indent=1) + "\n")
    text = table(findings, today)
    base.with_suffix(".md").write_text(text)
    base.with_suffix(".svg").write_text(plot.picture(findings.title, _bars(findings.cases)))
    return text


def _bars(cases: Sequence[Case]) -> list[plot.Bar]:
    return [
        plot.Bar(f"{case.what}, {case.where}", name, Spread.of([run.seconds for run in runs]))
        for case in cases
        for name, runs in case.runs.items()
    ]


def table(findings: Findings, today: str) -> str:
    """Return what was found as Markdown."""
    lines = [f"# {findings.title}", "", _setting(findings, today), ""]
    sized = any(case.size for case in findings.cases)
    head = ["what", "where", "who", "seconds: median (min–max)", "runs"]
    head += ["MB/s", "peak MiB"] if sized else []
    head += ["ours / theirs: median (min–max)", "CPU s"]
    lines += [_row(head), _row(["---"] * len(head))]
    for case in findings.cases:
        ours = next(iter(case.runs))
        for name, runs in case.runs.items():
            spread = Spread.of([run.seconds for run in runs])
            compared = "" if name == ours else _spread(Spread.of(case.ratios(name)), 3)
            peak = max(run.peak_kib for run in runs) / 1024
            moved = [f"{case.size / 1e6 / spread.median:.0f}", f"{peak:.0f}"] if sized else []
            cpu = Spread.of([run.cpu_seconds for run in runs]).median
            told = [case.what, case.where, name, _spread(spread, 2), str(spread.count)]
            lines.append(_row([*told, *moved, compared, f"{cpu:.2f}"]))
    if findings.targets:
        lines += ["", _row(["target", "limit", "measured: median (min–max)", "runs", ""])]
        lines.append(_row(["---"] * 5))
        for target in findings.targets:
            spread = Spread.of(target.values)
            verdict = "met" if target.met else "**missed**"
            limit = f"≤ {target.limit:.3g}{target.unit}"
            measured = _spread(spread, 3) + target.unit
            lines.append(_row([target.what, limit, measured, str(spread.count), verdict]))
    lines += ["", *(f"- {note}" for note in findings.notes)] if findings.notes else []
    return "\n".join([*lines, ""])


def _setting(findings: Findings, today: str) -> str:
    kind = ", ".join(f"{name} {value}" for name, value in machine().items())
    versions = ", ".join(f"{name} {value}" for name, value in findings.versions.items() if value)
    return f"{today}. Machine: {kind}." + (f" Versions: {versions}." if versions else "")


def _spread(spread: Spread, digits: int) -> str:
    low, high = f"{spread.low:.{digits}f}", f"{spread.high:.{digits}f}"
    return f"{spread.median:.{digits}f} ({low}–{high})"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
