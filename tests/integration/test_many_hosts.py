"""Many hosts at the same time: turns, names none of which is shared, live lines, the end of all."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.support.books import waiting_book
from tests.support.fleet import Fleet
from tests.support.needs import lacks_program, lacks_root, needs
from tests.support.program import REPOSITORY, Ended, refused
from tests.support.sshd import lacks_sshd

MakeFleet = Callable[..., Fleet]


@pytest.fixture
def fleet_of(tmp_path: Path, home: Path) -> MakeFleet:
    """Make a fleet: of so many hosts, or of these with what they say they are."""
    needs(lacks_sshd(), lacks_root(), lacks_program("setarch", "util-linux"))

    def make(count: int = 0, **machines: str) -> Fleet:
        numbered = {f"host-{number:02}": "" for number in range(count)}
        return Fleet(tmp_path, home, numbered | machines)

    return make


class Play:
    """The book that waits while there is a file ``hold``, played on a fleet."""

    def __init__(self, folder: Path, fleet: Fleet, words: Sequence[str]) -> None:
        self._events = folder / "events"
        self._events.unlink(missing_ok=True)
        (folder / "made").unlink(missing_ok=True)
        argv = [*waiting_book(folder), *fleet.options(*words), "--json"]
        self.process = subprocess.Popen(
            [*argv, "--events", str(self._events)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY), "SOURCE_DATE_EPOCH": "1700000000"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def events(self, *names: str) -> list[dict[str, Any]]:
        """Return the events so far that have one of these names."""
        text = self._events.read_text() if self._events.exists() else ""
        told = [json.loads(line) for line in text.splitlines(keepends=True) if line[-1:] == "\n"]
        return [event for event in told if event["event"] in names]

    def until(self, name: str, count: int) -> None:
        """Wait until there have been so many events of a name."""
        end = time.monotonic() + 60
        while len(self.events(name)) < count:
            assert time.monotonic() < end
            assert self.process.poll() is None, self.end()
            time.sleep(0.02)

    def end(self) -> Ended:
        """Wait for the end."""
        said, complaints = self.process.communicate(timeout=120)
        return Ended(self.process.returncode, said, complaints)


@contextmanager
def silent_port() -> Iterator[int]:
    """Yield a port where somebody listens and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_so_many_at_a_time_and_one_that_is_down_leaves_the_others_be(
    fleet_of: MakeFleet, tmp_path: Path
) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    with fleet_of(7) as fleet, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        fleet.add("down", taken.getsockname()[1])
        play = Play(tmp_path, fleet, ["--host", "down", "--host", "all", "--parallel", "3"])
        play.until("module_started", 3)
        time.sleep(1)  # the others have time to begin, if they can
        hold.unlink()
        ended = play.end()
        made = {name: fleet.seen_on(name, "waiting/tree/rootfs/etc/note") for name in fleet.servers}
        assert all(note.read_text() == "note" for note in made.values())
    at_work = most = 0
    for told in play.events("play_started", "play_done"):
        if told["host"] != "down":
            at_work += 1 if told["event"] == "play_started" else -1
            most = max(most, at_work)
    assert (at_work, most) == (0, 3)
    refused(ended, 3, "down")
    hosts = {host["host"]: host for host in ended.report["hosts"]}
    assert list(hosts) == ["down", *fleet.servers]
    assert hosts.pop("down")["error"]["type"] == "HostError"
    assert all((host["changed"], host["error"]) == (2, None) for host in hosts.values())
    # One table, and below it what went wrong.
    recap = ended.stderr[ended.stderr.index("host     ") :]
    assert re.findall(r"^(\S+) +\d", recap, re.MULTILINE) == ["down", *fleet.servers]
    assert re.search(r"^down +error: ", recap, re.MULTILINE)


@pytest.mark.parametrize("number", ["0", "-1", "many", "1.5", "", "٣"])
def test_what_is_no_number_of_hosts_is_refused(tmp_path: Path, home: Path, number: str) -> None:
    argv = [*waiting_book(tmp_path), "--parallel", number]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True)
    refused(Ended(done.returncode, done.stdout, done.stderr), 2, "parallel")


@pytest.mark.parametrize("parallel", ["1", "10"])
@pytest.mark.parametrize("place", [("--tag", "demo/it:{arch}"), ("--to", "it-{arch}.tar")])
def test_hosts_of_one_architecture_that_would_ship_to_one_place_begin_nothing(
    fleet_of: MakeFleet, tmp_path: Path, parallel: str, place: tuple[str, str]
) -> None:
    with fleet_of(a="", b="i686", c="") as fleet:
        # The tag alone would send it to an engine.
        to = () if place[0] == "--to" else ("--to", "it-{host}.tar")
        words = ["--host", "all", "--ship", "--parallel", parallel, *place, *to]
        ended = Play(tmp_path, fleet, words).end()
        refused(ended, 2, "a and c would both ship to .*amd64", "{host}")
        assert [host["modules"] for host in ended.report["hosts"]] == [[], [], []]
        assert [host["error"]["type"] for host in ended.report["hosts"]] == ["UsageError"] * 3
        for name in fleet.servers:
            assert not fleet.seen_on(name, "waiting/tree").exists()
    assert not (tmp_path / "made").exists()
    assert list(tmp_path.glob("*.tar")) == []


def test_each_architecture_ships_to_its_own_place(fleet_of: MakeFleet, tmp_path: Path) -> None:
    with fleet_of(a="", b="i686") as fleet, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        fleet.add("down", taken.getsockname()[1])
        words = ["--host", "all", "--ship", "--to", "it-{arch}.tar", "--tag", "demo/{arch}:{host}"]
        ended = Play(tmp_path, fleet, words).end()
    # The one that is down claims nothing, and keeps nobody waiting.
    refused(ended, 3, "down")
    tags = [host["image"] and host["image"]["tags"] for host in ended.report["hosts"]]
    assert tags == [["demo/amd64:a"], ["demo/386:b"], None]
    assert sorted(path.name for path in tmp_path.glob("*.tar")) == ["it-386.tar", "it-amd64.tar"]


def test_an_interrupt_ends_all_plays(fleet_of: MakeFleet, tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    with fleet_of(5) as fleet:
        play = Play(tmp_path, fleet, ["--host", "all", "--parallel", "3"])
        play.until("module_started", 3)
        play.process.send_signal(signal.SIGINT)
        ended = play.end()
        assert ended.code == 130, ended.stderr
        assert "Traceback" not in ended.stderr
        errors = [host["error"] for host in ended.report["hosts"]]
        assert [error["type"] for error in errors] == ["Interrupted"] * 5
        # Those that had not begun have nothing to clean up.
        assert all("hint" not in error for error in errors)
        end = time.monotonic() + 10
        while any(server.sessions() for server in fleet.servers.values()) or any(
            fleet.seen_on(name, "waiting/tree.part").exists() for name in fleet.servers
        ):
            assert time.monotonic() < end
            time.sleep(0.05)
        (tmp_path / "hold").unlink()
        ended = Play(tmp_path, fleet, ["--host", "all"]).end()
        assert ended.code == 0, ended.stderr
        assert {host["changed"] for host in ended.report["hosts"]} == {2}


def test_an_interrupt_ends_those_that_wait_for_what_another_host_is(
    fleet_of: MakeFleet, tmp_path: Path
) -> None:
    with fleet_of(a="", b="i686") as fleet, silent_port() as port:
        fleet.add("mute", port)
        words = ["--host", "a", "--host", "b", "--host", "mute", "--ship", "--to", "it-{arch}.tar"]
        play = Play(tmp_path, fleet, words)
        end = time.monotonic() + 30
        while not all(fleet.seen_on(name, "waiting/lock").exists() for name in fleet.servers):
            assert time.monotonic() < end
            time.sleep(0.05)
        time.sleep(1)  # until both have said what they are
        play.process.send_signal(signal.SIGINT)
        ended = play.end()
        assert ended.code == 130, ended.stderr
        errors = [host["error"] for host in ended.report["hosts"]]
        assert [error["type"] for error in errors] == ["Interrupted"] * 3
        # Two ended by themselves, and nothing was begun on the one that does not answer.
        assert all("hint" not in error for error in errors)
        assert not any(fleet.seen_on(name, "waiting/tree").exists() for name in fleet.servers)


def test_on_a_terminal_what_does_not_fit_is_counted(fleet_of: MakeFleet, tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    with fleet_of(12) as fleet:
        argv = [*waiting_book(tmp_path), *fleet.options("--host", "all", "--parallel", "12")]
        env = os.environ | {"PYTHONPATH": str(REPOSITORY), "NO_COLOR": "1", "TERM": "xterm"}
        child = pexpect.spawn(
            argv[0], argv[1:], env=env, dimensions=(12, 80), encoding="utf-8", timeout=60
        )
        # Twelve lines, less four for what was printed before, less the one that counts.
        child.expect_exact("and 5 more hosts at work, 0 of 12 hosts done")
        (tmp_path / "hold").unlink()
        child.expect(pexpect.EOF)
        child.close()
    assert child.exitstatus == 0
    said = child.before or ""
    assert said.count("round trips") == 1
    assert len(re.findall(r"^host-\d\d +0 +2 ", said, re.MULTILINE)) == 12
