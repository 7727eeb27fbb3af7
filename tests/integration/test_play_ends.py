"""A bootstrap stopped at any moment: invisible, and the next one completes."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from rootwright.errors import Interrupted
from rootwright.inventory import HostSpec
from tests.support.leftovers import Inside, await_nothing
from tests.support.plays import begin


def elsewhere(host: HostSpec, folder: Path) -> list[str]:
    """Return the options that play on a host."""
    if host.name == "localhost":
        return []
    (folder / "hosts.toml").write_text(
        f'[hosts.box]\naddress = "{host.address}"\nport = {host.port}\nuser = "root"\n'
        f'key = "{host.key}"\n'
    )
    return ["--host", "box", "--inventory", str(folder / "hosts.toml")]


@pytest.mark.parametrize(
    ("host", "how"),
    [
        ("local", signal.SIGKILL),
        ("local", signal.SIGINT),
        ("local", signal.SIGTERM),
        ("ssh", signal.SIGKILL),
        ("ssh", signal.SIGINT),
    ],
    indirect=["host"],
)
def test_a_bootstrap_that_is_stopped_half_way_is_invisible(
    host: HostSpec, work_dir: str, tmp_path: Path, how: signal.Signals
) -> None:
    options = elsewhere(host, tmp_path)
    folder = f"{work_dir}/waiting"
    assert begin(tmp_path, work_dir, *options).end().code == 0
    (tmp_path / "waiting").unlink()
    (tmp_path / "hold").touch()
    running = begin(tmp_path, work_dir, "--stamp", "two", *options)
    end = time.monotonic() + 20
    while not (tmp_path / "waiting").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    inside = Inside(folder)
    assert Path(folder, "tree.part/rootfs/half").is_dir()
    running.process.send_signal(how)
    ended = running.end()
    await_nothing(folder, inside)
    if how == signal.SIGKILL:
        assert ended.code == -signal.SIGKILL
    else:
        assert ended.code == Interrupted.exit_code
        assert ended.host["error"]["type"] == "Interrupted"
        assert "Traceback" not in ended.stderr
    assert Path(folder, "tree/rootfs/etc/suite").read_text() == "one\n"
    (tmp_path / "hold").unlink()
    ended = begin(tmp_path, work_dir, "--stamp", "two", *options).end()
    assert ended.code == 0, ended.stderr
    assert Path(folder, "tree/rootfs/etc/suite").read_text() == "two\n"
    assert (tmp_path / "made").read_text() == "one\ntwo\n"
