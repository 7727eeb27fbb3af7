"""Builds that are struck: nothing unverified is named, nothing is left, the next run completes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.conftest import Grounds
from tests.faults.schedule import KINDS, Fault, fault
from tests.faults.strike import throw

SEED = 1
COUNT = len(KINDS)
"""What is thrown unless told: each kind once."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "thrown" in metafunc.fixturenames:
        config = metafunc.config
        seed = config.getoption("--seed", None) or SEED
        first = config.getoption("--first", None) or 0
        count = config.getoption("--faults", None) or COUNT
        faults = [fault(seed, index) for index in range(first, first + count)]
        metafunc.parametrize("thrown", faults, ids=str)


def test_a_fault(
    grounds: Grounds, thrown: Fault, record_property: Callable[[str, object], None]
) -> None:
    outcome = throw(grounds.take(), thrown)
    for name in ("struck", "code"):
        record_property(name, getattr(outcome, name))
    record_property("kind", thrown.kind)
    if outcome.wrong:
        grounds.leave()
        alone = f"invoke test --faults 1 --seed {thrown.seed} --first {thrown.index}"
        pytest.fail("\n".join([str(thrown), f"alone: {alone}", *outcome.wrong]), pytrace=False)
