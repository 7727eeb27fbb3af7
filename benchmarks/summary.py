"""README's figures: some of the results, chosen here, never typed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import results
from benchmarks.lab import FAR, REPOSITORY
from benchmarks.measure import Run, Spread, ratios
from benchmarks.results import FOLDER, Case
from benchmarks.tables import row, setting, told

README = REPOSITORY / "README.md"
BEGIN, END = "<!-- measured: written by `./inv bench` -->\n", "<!-- end of measured -->\n"

_HERE = "this machine"
_DEBIAN = "Debian trixie, from the mirror into Docker"
_ARCH = "Arch, from the sample mirror into Docker"
_PIPE = "tar | docker import"


@dataclass(frozen=True)
class _Line:
    """One line of README's table: what a reader would call it, and where the result is."""

    text: str
    group: str
    what: str
    where: str
    ours: str
    theirs: str


_LINES = (
    *(
        _Line(text, "converge", what, FAR, "Rootwright", peer)
        for text, what, peer in (
            ("20 files that are right already, 50 ms away", "20 files, converged", "pyinfra"),
            ("the same", "20 files, converged", "Ansible, Mitogen"),
            ("the same", "20 files, converged", "Ansible, pipelining"),
            ("20 files that all change, 50 ms away", "20 files, all changed", "pyinfra"),
            ("the same", "20 files, all changed", "Ansible, Mitogen"),
            ("200 files that are right already, 50 ms away", "200 files, converged", "pyinfra"),
            ("the same", "200 files, converged", "Ansible, Mitogen"),
        )
    ),
    *(
        _Line(f"200 MB into Docker, {text}", "ship", "200 MB root", where, "Rootwright", _PIPE)
        for text, where in (("here", _HERE), ("from a host 50 ms away", FAR))
    ),
    *(
        _Line(text, "debian", _DEBIAN, _HERE, ours, theirs)
        for text, ours, theirs in (
            ("Debian, from nothing", "Rootwright", "debootstrap, tar | docker import"),
            ("the same", "Rootwright", "mmdebstrap | docker import"),
            (
                "Debian, anew from the copy, the archive being the same",
                "Rootwright, --fresh again",
                "debootstrap, tar | docker import",
            ),
            ("Debian, nothing to do", "Rootwright, again", "debootstrap, tar | docker import"),
        )
    ),
    *(
        _Line(text, "arch", _ARCH, _HERE, ours, "the article's commands")
        for text, ours in (
            ("Arch, from nothing", "Rootwright"),
            ("Arch, one locale more", "Rootwright, one locale more"),
            ("Arch, nothing to do", "Rootwright, again"),
        )
    ),
    _Line(
        "50 hosts at once, 50 ms away", "hosts", "20 files, converged", FAR, "50 hosts", "1 host"
    ),
)


def block(folder: Path = FOLDER) -> str:
    """Return README's figures as Markdown; what was never measured is left out.

    folder: where the results are.
    """
    groups = {line.group: results.load(line.group, folder) for line in _LINES}
    found = [findings for findings in groups.values() if findings]
    cases = {(f.group, case.what, case.where): case for f in found for case in f.cases}
    head = ["", "Rootwright", "beside it", "ours / theirs: median (min–max)"]
    lines = [row(head), row(["---"] * len(head))]
    for line in _LINES:
        case = cases.get((line.group, line.what, line.where))
        if case and {line.ours, line.theirs} <= set(case.runs):
            lines.append(_row(line, case))
    settings = dict.fromkeys(f"Measured on {setting(findings)}" for findings in found)
    pictures = [
        f"![{findings.title}](benchmarks/results/{findings.group}.svg)" for findings in found
    ]
    return "\n".join(["", *settings, "", *lines, "", *pictures, ""]) if found else ""


def _row(line: _Line, case: Case) -> str:
    ours, theirs = case.runs[line.ours], case.runs[line.theirs]
    compared = Spread.of(ratios(ours, theirs))
    return row([line.text, _seconds(ours), f"{line.theirs}: {_seconds(theirs)}", told(compared, 3)])


def _seconds(runs: Sequence[Run]) -> str:
    return f"{Spread.of([run.seconds for run in runs]).median:.2f} s"


def write(folder: Path = FOLDER, readme: Path = README) -> None:
    """Put the figures into README, between their marks."""
    before, begin, rest = readme.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    readme.write_text("".join([before, begin, block(folder), end, after]))


def shown(readme: Path = README) -> str:
    """Return the figures that README shows."""
    return readme.read_text().partition(BEGIN)[2].partition(END)[0]
