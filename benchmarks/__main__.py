"""``python -m benchmarks [NAME …]``: what the task ``bench`` runs."""

from __future__ import annotations

import argparse
import sys

from invoke.exceptions import Exit

from benchmarks import BUDGET, main
from rootwright.cli.edge import edge

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="a group; all of them unless given"
    )
    parser.add_argument("--runs", type=int, default=5, help="runs of each contender in each case")
    parser.add_argument(
        "--budget", type=float, default=BUDGET, help="seconds of a contender in one case"
    )
    given = parser.parse_args()
    try:
        with edge():
            main(given.names, runs=given.runs, budget=given.budget)
    except Exit as e:
        print(e.message, file=sys.stderr)
        sys.exit(e.code)
