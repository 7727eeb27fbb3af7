"""Side by side: the same work done by Rootwright and by what people would use instead.

Each group of benchmarks times whole processes, interpreter start included, in turns (A B A B …),
compares them pair by pair, and writes what it found into ``benchmarks/results`` and README. Only
the ratios mean something: the seconds depend on the machine and on whatever else it does.
"""

from __future__ import annotations

from collections.abc import Sequence

BUDGET = 60.0
"""With it all of them take about an hour on two cores, most of which the peers need."""


def main(names: Sequence[str] = (), *, runs: int = 5, budget: float = BUDGET) -> None:
    """Run groups of benchmarks, print their tables and write their results.

    names: the groups; all of them when there are none.
    runs: how often each contender runs in each case.
    budget: seconds that a contender may take in a case, once it had its three runs.
    Raises UsageError for an unknown group.
    """
    # The program that is measured is part of this package: it must not pay for the rest.
    from benchmarks.groups import run_groups

    run_groups(names, runs, budget)
