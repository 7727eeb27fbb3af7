"""Shipping that ends when all was sent: nothing without a name is left in the engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from rootwright.errors import ShipError
from rootwright.sinks.docker import DockerSink
from tests.support.delay_proxy import DelayProxy
from tests.support.docker_api import images
from tests.support.engine import Engine
from tests.support.leftovers import SECONDS
from tests.support.shipping import TAG, config
from tests.support.streams import layer_of

KILLED = """
import os, signal
from pathlib import Path
from rootwright.sinks.docker import DockerSink
from tests.support import shipping
from tests.support.streams import layer_of

sink = DockerSink(Path({socket!r}))

def kill(*_):
    {before}
    os.kill(os.getpid(), signal.SIGKILL)

stream = layer_of(Path({root!r}))
if {when!r} == "last byte":
    stream = layer_of(Path({root!r}), progress=lambda sent: sent < stream.size or kill())
if {when!r} == "naming":
    sink._name = kill
sink.ship(stream, kill if {when!r} == "config" else shipping.config, ["demo/killed:1"])
"""
"""A ship whose process is killed at a chosen point."""

NO_GUARD = 'os.system("kill -9 $(cat /proc/$PPID/task/*/children)")'


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/hostname").write_text(f"{tmp_path}\n")
    return tmp_path / "root"


def killed(engine: Engine, root: Path, when: str, before: str = "pass") -> None:
    program = KILLED.format(socket=str(engine.socket), root=str(root), when=when, before=before)
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("when", ["last byte", "config", "naming"])
def test_kill_leaves_no_image(dockerd: Engine, root: Path, when: str) -> None:
    before = images(dockerd.url)
    killed(dockerd, root, when)
    end = time.monotonic() + SECONDS
    while images(dockerd.url) != before:
        assert time.monotonic() < end, images(dockerd.url) - before
        time.sleep(0.1)


def test_what_nobody_guarded_is_removed_by_the_next_play(dockerd: Engine, root: Path) -> None:
    before = images(dockerd.url)
    killed(dockerd, root, "config", NO_GUARD)
    assert [name for _, name in images(dockerd.url) - before] == ["<none>:<none>"]
    sink = DockerSink(dockerd.socket)
    sink.sweep()
    sink.close()
    assert images(dockerd.url) == before


def test_an_answer_that_is_lost_leaves_no_image(
    dockerd: Engine, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = images(dockerd.url)

    def lose(sent: int) -> None:
        if sent == stream.size:
            proxy.stall_after(0, "down", 0.2, "cut")

    with DelayProxy(dockerd.socket) as proxy:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://{proxy.host}:{proxy.port}")
        sink = DockerSink()
        stream = layer_of(root, progress=lose)
        with pytest.raises(ShipError, match="broke off"):
            sink.ship(stream, config, [TAG])
        sink.close()
    assert images(dockerd.url) == before


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_an_engine_that_is_started_again_keeps_no_image(
    dockerd: Engine, root: Path, how: signal.Signals
) -> None:
    before = images(dockerd.url)
    again = threading.Timer(0.5, dockerd.restart)

    def die(diff_id: str) -> bytes:
        # The one breaks off connections, the other ends them when their request is answered.
        os.kill(dockerd.pid, how)
        again.start()
        return config(diff_id)

    sink = DockerSink(dockerd.socket)
    with pytest.raises(ShipError):
        sink.ship(layer_of(root), die, [TAG])
    sink.close()
    again.join()
    assert images(dockerd.url) == before
