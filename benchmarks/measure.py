"""Timing processes in turns, and what can be said of the times."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rootwright.errors import StepError
from rootwright.text import harmless

LEAST = 3
"""Runs of whoever is slow: fewer would give no spread."""


@dataclass(frozen=True)
class Run:
    """One process, from start to end.

    seconds: by the clock. cpu_seconds: user and system, children included.
    peak_kib: the largest resident set of the process or one of its children.
    facts: what else is known of it, such as its round trips.
    """

    seconds: float
    cpu_seconds: float
    peak_kib: int
    facts: Mapping[str, float] = field(default_factory=dict)

    def knowing(self, **facts: float) -> Run:
        """Return the same run with more facts."""
        return replace(self, facts={**self.facts, **facts})


@dataclass(frozen=True)
class Spread:
    """What is told of several numbers."""

    low: float
    median: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of at least one number."""
        return cls(min(values), statistics.median(values), max(values), len(values))


def timed(
    argv: Sequence[str], *, env: Mapping[str, str], cwd: Path | None = None
) -> tuple[Run, str]:
    """Run a program to its end; return what it took and what it printed.

    Raises StepError, with the last lines it printed, when it fails.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.monotonic()
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=dict(env), cwd=cwd
        )
        try:
            # Not wait(): only wait4 tells what one child and its children used.
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read().decode(errors="backslashreplace")
        if process.returncode:
            err.seek(0)
            said = text + err.read().decode(errors="backslashreplace")
            raise StepError(
                f"{Path(argv[0]).name} failed with status {process.returncode}",
                where="the benchmark",
                output=harmless("\n".join(said.splitlines()[-30:])),
            )
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss), text


def in_turns(
    what: str, contenders: Mapping[str, Callable[[], Run]], runs: int, budget: float
) -> dict[str, list[Run]]:
    """Run contenders A B A B …; return the runs of each.

    A contender whose next run would take it past the budget, in seconds, gets no further turn once
    it had `LEAST`.
    """
    taken: dict[str, list[Run]] = {name: [] for name in contenders}
    for turn in range(runs):
        for name, once in contenders.items():
            spent = sum(run.seconds for run in taken[name])
            if turn >= LEAST and spent * (turn + 1) / turn > budget:
                continue
            run = once()
            taken[name].append(run)
            say(f"{what}: {name}: {run.seconds:.2f} s")
    return taken


def ratios(ours: Sequence[Run], theirs: Sequence[Run]) -> list[float]:
    """Return our seconds over theirs, turn by turn, as far as both ran."""
    return [a.seconds / b.seconds for a, b in zip(ours, theirs, strict=False)]


def say(line: str) -> None:
    """Tell whoever waits how far it is."""
    print(line, file=sys.stderr, flush=True)
