"""Builds that are struck: nothing unverified is named, nothing is left, the next run completes."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
from collections.abc import Callable

import pytest

from tests.faults.conftest import Grounds
from tests.faults.schedule import (
    Broken,
    Death,
    Fault,
    Full,
    Lie,
    Moment,
    Signalled,
    Strike,
    Task,
    fault,
)
from tests.faults.site import TAG
from tests.faults.strike import misnamed, nothing_left
from tests.support.docker_api import client_of

SEED = 1
COUNT = 100
"""How many are thrown unless told."""

_AT_ONCE = Moment("run_started", 1, 0)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "thrown" in metafunc.fixturenames:
        config = metafunc.config
        seed = config.getoption("--seed", None)
        seed = SEED if seed is None else seed
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
    with client_of(ground.engine.url) as client:
        image = client.import_image_from_data(bytes(10240))
        image = json.loads(image.splitlines()[-1])["status"]
        (site.place.folder / "tmp/forgotten").touch()
        (site.place.home / ".cache").touch()
        (site.place.folder / "core").touch()
        (ground.temporary / "cut").touch()
        (folder / "tree.part").mkdir()
        subprocess.run(["sh", "-c", "sleep 300 &"], check=True)
        orphan = next(iter(ground.strangers()))[0]
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            left = "\n".join(nothing_left(ground, site))
        os.kill(orphan, signal.SIGKILL)
        (folder / "tree.part").rmdir()
        (site.place.home / ".cache").unlink()
        (site.place.folder / "core").unlink()
        (ground.temporary / "cut").unlink()
        (site.place.folder / "tmp/forgotten").unlink()
        client.remove_image(image)
    assert all(
        word in left
        for word in (
            *(image, "tmp/forgotten", ".cache", "core", "tmp/cut", "tree.part", "lock"),
            f"process {orphan}",
        )
    ), left
    assert nothing_left(ground, site) == []


def test_a_name_that_moved_is_noticed(grounds: Grounds) -> None:
    site = grounds.take().sites["docker"]
    kept = site.held()
    name, _, tag = TAG.partition(":")
    assert list(misnamed(site, site.variant)) == []
    with client_of(grounds.take().engine.url) as client:
        answer = client.import_image_from_data(bytes(10240), repository=name, tag=tag)
        image = json.loads(answer.splitlines()[-1])["status"]
        moved = list(misnamed(site, site.variant))
        client.tag(kept, name, tag)
        client.remove_image(image)
    assert moved == [f"the name stands for {image}"]
    assert site.held() == kept


@pytest.mark.parametrize(
    ("strike", "task", "code"),
    [
        (Signalled("SIGKILL", _AT_ONCE), "change", -signal.SIGKILL),
        (Signalled("SIGINT", _AT_ONCE, group=True), "change", 130),
        (Broken("ssh", "cut", 500, "down"), "change", 3),
        (Broken("engine", "cut", 100_000, "up"), "change", 4),
        (Lie("*/dash_*", "missing", 0), "anew", 1),
        # In the middle of an InRelease: apt may wait for ever then.
        (Broken("mirror", "cut", 3487, "down"), "anew", None),
        (Full("engine", 0, _AT_ONCE), "change", 4),
        (Death("SIGKILL", _AT_ONCE, 0), "change", None),
    ],
    ids=str,
)
def test_what_cannot_miss_strikes(
    grounds: Grounds, strike: Strike, task: Task, code: int | None
) -> None:
    """Else a schedule that always misses would pass."""
    far = isinstance(strike, Broken) and strike.way == "ssh"
    thrown = Fault(0, 0, "", task, far, "docker", strike)
    outcome = grounds.throw(thrown)
    assert outcome.wrong == []
    assert outcome.struck
    assert outcome.code == (outcome.code if code is None else code)


def test_a_fault(
    grounds: Grounds, thrown: Fault, record_property: Callable[[str, object], None]
) -> None:
    outcome = grounds.throw(thrown)
    for name in ("struck", "code"):
        record_property(name, getattr(outcome, name))
    record_property("kind", thrown.kind)
    if outcome.wrong:
        alone = f"invoke test --faults 1 --seed {thrown.seed} --first {thrown.index}"
        pytest.fail("\n".join([str(thrown), f"alone: {alone}", *outcome.wrong]), pytrace=False)
