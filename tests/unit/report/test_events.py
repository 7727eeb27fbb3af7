"""The event log."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path

import pytest

from rootwright.errors import UsageError
from rootwright.report import (
    EventLog,
    Masker,
    RunReport,
)
from tests.support.reports import EDIT, play


def test_events_are_json_lines_as_they_happen(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_text("what an earlier run left\n")
    log = EventLog(path, Masker(["hunter2"]))
    log.run_started("debian", ["archie"])
    assert path.read_text().count("\n") == 1  # already there, though the log is open
    report = play(log, "archie", "hunter2\x1b[2J\x7f漢")
    log.run_done(RunReport("debian", {}, [report]))
    log.close()
    log.note("archie", "after the end")
    log.close()

    written = path.read_bytes()
    assert not re.search(rb"[^\n\x20-\x7e]", written)
    events = [json.loads(line) for line in written.splitlines()]
    names = [event["event"] for event in events]
    sent = [event["sent"] for event in events if event["event"] == "shipped_bytes"]
    assert [name for name in names if name != "shipped_bytes"] == [
        "run_started",
        "play_started",
        "module_started",
        "output",
        "module_done",
        "module_done",
        "shipping",
        "image_done",
        "note",
        "play_done",
        "run_done",
    ]
    assert sent[-1] == 113_400_000
    assert len(sent) < 50  # of 1001 that were told in a moment
    by_name = {event["event"]: event for event in events}
    assert by_name["output"] | {"time": ""} == {
        "time": "",
        "event": "output",
        "host": "archie",
        "line": "***\x1b[2J\x7f漢",
    }
    assert by_name["module_done"]["changes"] == [EDIT.as_dict()]
    assert by_name["play_done"]["round_trips"] == 3
    assert by_name["run_done"]["exit_code"] == 0
    times = [datetime.strptime(event["time"], "%Y-%m-%dT%H:%M:%S.%f%z") for event in events]
    assert times == sorted(times)
    assert all(event["time"].endswith("Z") for event in events)


@pytest.mark.parametrize("name", ["missing/events", ".", "nul\0"])
def test_a_path_that_cannot_be_written_is_a_usage_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot write the events") as caught:
        EventLog(tmp_path / name)
    assert caught.value.hint
    assert caught.value.where == "--events"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_does_not_end_the_run() -> None:
    log = EventLog("/dev/full")
    play(log, "archie")
    log.close()
    assert "No space left" in log.problem
