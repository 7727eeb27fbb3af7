"""What a group of benchmarks found, as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.measure import Spread
from benchmarks.results import Case, Findings, Target


def table(findings: Findings) -> str:
    """Return all of it: who took how long, and what became of the targets."""
    versions = f" Versions: {_pairs(findings.versions)}." if findings.versions else ""
    lines = [f"# {findings.title}", "", setting(findings) + versions, ""]
    sized = any(case.size for case in findings.cases)
    head = ["what", "where", "who", "seconds: median (min–max)", "runs"]
    head += ["MB/s", "peak MiB"] if sized else []
    head += ["ours / theirs: median (min–max)", "CPU s"]
    lines += [row(head), row(["---"] * len(head))]
    for case in findings.cases:
        lines += _rows(case, sized)
    if findings.targets:
        head = ["target", "limit", "measured: median (min–max)", "runs", ""]
        lines += ["", row(head), row(["---"] * len(head))]
        lines += [_verdict(target) for target in findings.targets]
    lines += ["", *(f"- {note}" for note in findings.notes)] if findings.notes else []
    return "\n".join([*lines, ""])


def _rows(case: Case, sized: bool) -> list[str]:
    lines = []
    ours = next(iter(case.runs))
    for name, runs in case.runs.items():
        seconds = Spread.of([run.seconds for run in runs])
        compared = "" if name == ours else told(Spread.of(case.ratios(name)), 3)
        peak = max(run.peak_kib for run in runs) / 1024
        moved = [f"{case.size / 1e6 / seconds.median:.0f}", f"{peak:.0f}"] if sized else []
        cpu = Spread.of([run.cpu_seconds for run in runs]).median
        cells = [case.what, case.where, name, told(seconds, 2), str(seconds.count)]
        lines.append(row([*cells, *moved, compared, f"{cpu:.2f}"]))
    return lines


def _verdict(target: Target) -> str:
    spread = Spread.of(target.values)
    limit = f"≤ {target.limit:.3g}{target.unit}"
    verdict = "met" if target.met else "**missed**"
    return row([target.what, limit, told(spread, 3) + target.unit, str(spread.count), verdict])


def setting(findings: Findings) -> str:
    """Return when it was found, and on what kind of machine."""
    return f"{findings.date}. Machine: {_pairs(findings.machine)}."


def _pairs(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value)


def told(spread: Spread, digits: int) -> str:
    """Return the median, and how far the others are from it."""
    low, high = f"{spread.low:.{digits}f}", f"{spread.high:.{digits}f}"
    return f"{spread.median:.{digits}f} ({low}–{high})"


def row(cells: Sequence[str]) -> str:
    """Return a line of a table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
