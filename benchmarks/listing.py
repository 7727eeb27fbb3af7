"""Listing the tasks: what it costs to begin, and what is imported for that."""

from __future__ import annotations

import functools
import sys

from benchmarks.lab import REPOSITORY, Lab
from benchmarks.measure import Run, in_turns, timed
from benchmarks.results import Case, Findings, Target

_HEAVY = ("cryptography", "docker", "fabric", "jinja2", "paramiko", "pexpect", "requests", "rich")
_MARK = "--- imported:"


def measure(runs: int, budget: float) -> Findings:
    """Measure it. Raises StepError."""
    with Lab() as lab:
        ways = {
            "inv --list": [str(REPOSITORY / "inv"), "--list"],
            "python -c pass": [sys.executable, "-c", "pass"],
            "python -c 'import invoke'": [sys.executable, "-c", "import invoke"],
        }
        turns = {name: functools.partial(_once, lab, argv) for name, argv in ways.items()}
        case = Case("listing the tasks", "this machine", in_turns("list", turns, runs, budget))
        imported = _imported(lab)
    heavy = sorted(set(_HEAVY) & {name.partition(".")[0] for name in imported})
    notes = [f"`inv --list` imports {len(imported)} modules."]
    if heavy:
        notes.append(f"Among them, though nobody needs them yet: {', '.join(heavy)}.")
    targets = [
        Target("CPU time of `inv --list`", [run.cpu_seconds for run in case.ours], 0.35, " s"),
        Target("heavy packages it imports", [len(heavy)], 0),
    ]
    return Findings("list", "Listing the tasks", [case], targets, notes=notes)


def _once(lab: Lab, argv: list[str]) -> Run:
    run, _ = timed(argv, env=lab.env, cwd=REPOSITORY)
    return run


def _imported(lab: Lab) -> list[str]:
    """Return the modules in memory once the tasks have been listed."""
    script = (
        "import atexit, runpy, sys\n"
        f"atexit.register(lambda: print({_MARK!r}, *sys.modules, sep='\\n'))\n"
        "sys.argv = ['tasks.py', '--list']\n"
        "runpy.run_path('tasks.py', run_name='__main__')\n"
    )
    _, output = timed([sys.executable, "-c", script], env=lab.env, cwd=REPOSITORY)
    return output.partition(f"{_MARK}\n")[2].splitlines()
