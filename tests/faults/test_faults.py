"""Builds that are struck: nothing unverified is named, nothing is left, the next run completes."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
from collections.abc import Callable

import pytest

from tests.faults.conftest import Grounds
from tests.faults.schedule import KINDS, Fault, fault
from tests.faults.strike import nothing_left, throw
from tests.support.program import docker_client

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


def test_what_is_left_is_noticed(grounds: Grounds) -> None:
    """Else all below would prove nothing."""
    ground = grounds.take()
    site = ground.sites["docker"]
    folder = site.place.root
    site.prepare("again")
    with contextlib.closing(docker_client(ground.engine.url)) as client:
        image = client.import_image_from_data(bytes(10240))
        image = json.loads(image.splitlines()[-1])["status"]
        (site.place.folder / "tmp/forgotten").touch()
        (site.place.home / ".cache").touch()
        (folder / "tree.part").mkdir()
        subprocess.run(["sh", "-c", "sleep 300 &"], check=True)
        orphan = next(iter(ground.strangers()))[0]
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            left = "\n".join(nothing_left(ground, site))
        os.kill(orphan, signal.SIGKILL)
        (folder / "tree.part").rmdir()
        (site.place.home / ".cache").unlink()
        (site.place.folder / "tmp/forgotten").unlink()
        client.remove_image(image)
    assert all(
        word in left
        for word in (image, "tmp/forgotten", ".cache", "tree.part", f"process {orphan}", "lock")
    ), left
    assert nothing_left(ground, site) == []


def test_a_fault(
    grounds: Grounds, thrown: Fault, record_property: Callable[[str, object], None]
) -> None:
    try:
        outcome = throw(grounds.take(), thrown)
    except BaseException:
        grounds.leave()
        raise
    for name in ("struck", "code"):
        record_property(name, getattr(outcome, name))
    record_property("kind", thrown.kind)
    if outcome.wrong:
        grounds.leave()  # the next fault is another one's business
        alone = f"invoke test --faults 1 --seed {thrown.seed} --first {thrown.index}"
        pytest.fail("\n".join([str(thrown), f"alone: {alone}", *outcome.wrong]), pytrace=False)
