"""The schedule of faults: a pure function of seed and index, with every kind in it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from rootwright.report import EventLog
from tests.faults.schedule import KINDS, ROUND, Broken, Fault, Full, fault

SEEDS = (1, 7, 123456789)


def schedule(seed: int) -> list[Fault]:
    return [fault(seed, index) for index in range(10 * ROUND)]


@pytest.mark.parametrize("seed", SEEDS)
def test_it_is_a_pure_function_of_seed_and_index(seed: int) -> None:
    faults = schedule(seed)
    assert [fault(seed, one.index) for one in reversed(faults)] == faults[::-1]
    assert [one.seed for one in faults] == [seed] * len(faults)
    # In another process too, where sets and hashes have another order.
    program = (
        f"from tests.faults.schedule import fault\nfor i in range(50): print(fault({seed}, i))"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": str(seed)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.splitlines() == [str(one) for one in faults[:50]]


def test_seeds_and_faults_differ() -> None:
    lines = [str(one) for seed in SEEDS for one in schedule(seed)]
    assert len(set(lines)) == len(lines)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_kind_comes_once_before_any_comes_twice(seed: int) -> None:
    faults = schedule(seed)
    assert {one.kind for one in faults[: len(KINDS)]} == set(KINDS)
    for kind, (times, _) in KINDS.items():
        assert [one.kind for one in faults].count(kind) == 10 * times


@pytest.mark.parametrize("seed", SEEDS)
def test_every_moment_is_one_that_a_build_tells_of(seed: int) -> None:
    events = {one.strike.moment.event for one in schedule(seed) if hasattr(one.strike, "moment")}
    assert len(events) > 8
    assert all(callable(getattr(EventLog, event)) for event in events - {"shipped"})


@pytest.mark.parametrize("seed", SEEDS)
def test_each_can_strike(seed: int) -> None:
    for one in schedule(seed):
        strike = one.strike
        if isinstance(strike, Broken):
            assert one.far or strike.way != "ssh"
            assert one.sink == "docker" or strike.way != "engine"
            assert one.task in ("fresh", "anew", "first") or strike.way != "mirror"
            assert strike.size > 0
        if isinstance(strike, Full):
            assert one.sink == {"engine": "docker", "dist": "archive"}.get(strike.disk, one.sink)
