"""build-debian stopped half-way: nothing is left, and the run after completes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pexpect
import pytest

from tests.support.delay_proxy import DelayProxy
from tests.support.engine import Engine
from tests.support.program import PROGRAM, Ended, Place, family, refused
from tests.support.sshd import Sshd


@pytest.fixture
def slowly(dockerd: Engine) -> Iterator[DelayProxy]:
    """A way to the engine so slow that, however late we look, the image is not there yet."""
    with DelayProxy(dockerd.socket, rate=2_000_000) as proxy:
        yield proxy


def test_a_controller_killed_during_bootstrap_leaves_nothing(
    place: Place, first_build: tuple[Place, Ended], sshd: Sshd, where: str
) -> None:
    images = place.images()
    options = place.over_ssh(sshd) if where == "far" else ()
    running = place.start(*options)
    running.until("module_started", name="debootstrap")
    await_file(place.root / "tree.part/rootfs/etc")  # the tool is at work
    processes = family(sshd.pid if where == "far" else running.process.pid)
    assert len(processes) > 5
    running.process.kill()
    running.end()
    place.await_nothing_left(processes)
    assert place.listing() == ["lock"]
    assert place.images() == images
    # The next run completes; what was begun before does not show.
    ended = place.build("--json", *options)
    assert ended.code == 0, ended.stderr
    assert ended.host["image"]["id"] == first_build[1].host["image"]["id"]


@pytest.fixture(params=["here", "far"])
def where(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def await_file(path: Path) -> None:
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end, path
        time.sleep(0.01)


def test_a_controller_killed_while_a_module_changes_leaves_nothing(
    first_build: tuple[Place, Ended],
) -> None:
    place, first = first_build
    images = place.images()
    tool, shadow = place.rootfs / "usr/sbin/usermod", place.rootfs / "etc/shadow"
    whole = shadow.read_text()
    times = shadow.stat()
    kept = tool.rename(place.folder / "usermod")
    try:
        tool.write_text("#!/bin/sh\n>/tmp/here\n>/etc/here\nmount -t tmpfs none /mnt\nsleep 300\n")
        tool.chmod(0o755)
        shadow.write_text(re.sub("^root:[^:]*:", "root::", whole))
        running = place.start()
        running.until("module_started", name="root_account")
        await_file(place.rootfs / "etc/here")
        processes = family(running.process.pid)
        running.process.kill()
        running.end()
        place.await_nothing_left(processes)
    finally:
        tool.unlink()
        kept.rename(tool)
        (place.rootfs / "etc/here").unlink(missing_ok=True)
        os.utime(place.rootfs / "etc", ns=(times.st_mtime_ns, times.st_mtime_ns))
    assert place.images() == images
    assert place.listing("tree/rootfs/tmp") == []
    ended = place.build("--json")
    # prune takes away the copy that usermod keeps of what was there.
    assert (ended.code, ended.modules("changed")) == (0, ["root_account", "prune"]), ended.stderr
    assert shadow.read_text() == whole
    assert ended.host["image"]["id"] == first.host["image"]["id"]


def test_a_controller_killed_while_it_ships_leaves_nothing(
    moving: Place, dockerd: Engine, slowly: DelayProxy, sshd: Sshd, where: str
) -> None:
    with DelayProxy(sshd.port) as proxy:
        far = moving.over_ssh(sshd, proxy.port)
        running = moving.start(*(far if where == "far" else ()), DOCKER_HOST=slowly.url)
        running.until("shipping")
        proxy.stall()
        os.kill(dockerd.pid, signal.SIGSTOP)
        try:
            running.process.kill()
            running.end()
        finally:
            os.kill(dockerd.pid, signal.SIGCONT)
        slowly.throttle(None)
        proxy.cut()
        moving.await_nothing_left()


@pytest.mark.parametrize(
    ("how", "event"),
    [
        (signal.SIGINT, "module_started"),
        (signal.SIGINT, "shipping"),
        (signal.SIGTERM, "shipping"),
        (signal.SIGHUP, "shipping"),
    ],
)
def test_an_interrupt_ends_it_and_leaves_nothing(
    built: Place, place: Place, slowly: DelayProxy, how: signal.Signals, event: str
) -> None:
    place = place if event == "module_started" else replace(built, tag=place.tag, env={})
    images = place.images()
    running = place.start("--json", DOCKER_HOST=slowly.url)
    running.until(event)
    processes = family(running.process.pid)
    # As from a terminal: the whole group gets it.
    os.killpg(running.process.pid, how)
    ended = running.end()
    slowly.stop()
    assert ended.code == 130, ended
    assert "Traceback" not in ended.stderr
    assert "interrupted" in ended.stderr
    assert ended.host["error"]["type"] == "Interrupted"
    place.await_nothing_left(processes)
    assert place.images() == images


def test_a_terminal_that_is_closed_ends_it_and_leaves_nothing(place: Place) -> None:
    program, *arguments = [*PROGRAM, *place.build_arguments("--json")]
    running = pexpect.spawn(
        program, arguments, cwd=str(place.folder), env={**place.env, "TERM": "xterm"}
    )
    while not (place.root / "tree.part/rootfs/etc").exists():
        running.read_nonblocking(1 << 16, 60)
    assert running.pid
    processes = family(running.pid)
    os.close(running.child_fd)
    assert os.waitstatus_to_exitcode(os.waitpid(running.pid, 0)[1]) == 130
    place.await_nothing_left(processes)
    assert place.listing() == ["lock"]


def test_an_engine_that_hangs_does_not_keep_a_second_ctrl_c_waiting(
    moving: Place, dockerd: Engine, slowly: DelayProxy
) -> None:
    running = moving.start(DOCKER_HOST=slowly.url)
    running.until("shipping")
    os.kill(dockerd.pid, signal.SIGSTOP)
    try:
        running.process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            running.process.wait(1)
        running.process.send_signal(signal.SIGINT)
        ended = running.end(patience=10)
    finally:
        os.kill(dockerd.pid, signal.SIGCONT)
    slowly.throttle(None)
    assert ended.code == 130
    assert "Traceback" not in ended.stderr
    moving.await_nothing_left()


def test_a_root_is_held_by_one_play(place: Place) -> None:
    running = place.start()
    running.until("module_started", name="debootstrap")
    running.process.send_signal(signal.SIGSTOP)
    ended = place.build()
    since = r"held by another play: \S+@\S+ \(process \d+\) since 20\d\d-"
    refused(ended, 3, since, "--work-dir")
    assert f"process {running.process.pid})" in ended.stderr
    running.process.kill()
    running.end()
    place.await_nothing_left()
