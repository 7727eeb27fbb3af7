"""The groups of benchmarks, and running them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks import arch, converge, debian, hosts, listing, ship, summary
from benchmarks.report import save
from benchmarks.results import Findings
from rootwright.errors import UsageError

GROUPS: dict[str, Callable[[int, float], Findings]] = {
    "converge": converge.measure,
    "list": listing.measure,
    "ship": ship.measure,
    "hosts": hosts.measure,
    "debian": debian.measure,
    "arch": arch.measure,
}
"""Each takes how often to run, and the seconds of a contender's budget in one case."""


def run_groups(names: Sequence[str], runs: int, budget: float) -> None:
    """Run groups, print their tables, write their results and README's figures.

    Raises UsageError for an unknown group.
    """
    for name in names:
        if name not in GROUPS:
            raise UsageError(f"no benchmark {name!r}", hint=f"there are {', '.join(GROUPS)}")
    if runs < 1:
        raise UsageError("a benchmark runs at least once", where="--runs", hint="say --runs 5")
    for name in names or GROUPS:
        print(save(GROUPS[name](runs, budget)), flush=True)
        summary.write()
