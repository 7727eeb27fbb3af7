"""What people see: safe text, hidden secrets, the report, the event log, the console."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path

import pexpect
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import rootwright
from rootwright.errors import HostError, Interrupted, ShipError, StepError, UsageError
from rootwright.report import (
    ChangeReport,
    Console,
    EventLog,
    HostReport,
    ImageReport,
    Masker,
    ModuleReport,
    Reporter,
    Reporters,
    RunReport,
)
from rootwright.report.lines import size_text
from rootwright.text import cells, harmless, pad, terminal_text

DIGEST = "sha256:" + "0f3c61d2a9b1" * 5 + "0000"
IMAGE = ImageReport(DIGEST, DIGEST, 113_400_000, ["demo/debian:1"], 113_400_000, "changed")
ERROR = StepError("locale-gen ended with status 1", where="locale", hint="name one that is there")
EDIT = ChangeReport("/etc/timezone", "new content", "UTC\n", "Europe/Paris\n", "debootstrap")
ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


# Text


# Every code point, surrogates too, with the dangerous ones made likely.
anything = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\x1b\x9b\x9d\x07\x08\r\n\t\0[]();?0m\\\u202e\u2066"),
        st.characters(categories=["Cs"]),
    )
)


@given(anything)
@example("\x1b]0;title\x07\x1b[2J\x9b31m\x1bPq\x1b\\")
@example("\x1b\x1b[0m[31m")  # dropping the inner sequence must not make an outer one
def test_no_text_can_act_on_a_terminal(text: str) -> None:
    for shown in (harmless(text), terminal_text(text)):
        assert not ACTING.search(shown)
        shown.encode()  # no surrogate is left, so it can be written out
        assert harmless(shown) == shown


@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"])))
@example("naïve 漢字 👩‍💻 [red]not markup[/red]")
def test_printable_text_stays_as_it_is(text: str) -> None:
    assert harmless(text) == text
    assert terminal_text(text) == text


def test_what_is_hidden_is_shown() -> None:
    assert harmless("a\tb\n\x1b[31m\r\x7f\x85\u202e\udcff") == "a\tb\n^[[31m^M^?\\u0085\\u202e\\xff"


def test_terminal_output_is_read_as_it_was_meant() -> None:
    assert terminal_text("\x1b[1;32m::\x1b[0m Proceed? [Y/n] \x1b[?25h") == ":: Proceed? [Y/n] "
    assert terminal_text("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\") == "link"
    assert terminal_text("10%\r 50%\r100%\r\ndone\r") == "100%\ndone"


def test_cleaning_takes_linear_time() -> None:
    # Quadratic time would be hours here.
    for hostile in ("\x9d", "\x1b]", "\x1b[", "\x1b[0;", "\r", "\x1bP\x9d"):
        assert not ACTING.search(terminal_text(hostile * 500_000))


def test_padding_counts_columns() -> None:
    assert cells("漢字") == 4
    assert cells("e\u0301") == 1
    assert pad("漢", 4) == "漢  "
    assert pad("longer", 2) == "longer"


# Secrets

plain = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=4)


@given(st.lists(plain, min_size=1), anything)
def test_no_secret_goes_out(secrets: list[str], around: str) -> None:
    masker = Masker(secrets)
    told = {"a": [around + secret + around for secret in secrets], "b": Path("/" + secrets[0])}
    shown = masker.data(told)
    assert isinstance(shown, dict)
    assert not any(secret in text for secret in secrets for text in [*shown["a"], shown["b"]])


def test_secrets_are_hidden_whole_and_by_line() -> None:
    masker = Masker(["", "  ", "pass", "password"])
    assert masker.text("password pass") == "*** ***"
    masker.add("-----BEGIN KEY-----\nMIIEvQIBADANBg\nab\n")
    assert masker.text("a -----BEGIN KEY-----\nMIIEvQIBADANBg\nab z") == "a *** z"
    assert masker.text("MIIEvQIBADANBg and ab") == "*** and ab"


def test_data_of_any_kind_becomes_json() -> None:
    masker = Masker(["hunter2"])
    given_ = {"s": {"b", "a"}, "p": Path("/x"), "t": ("x", None, 1, 1.5, True), "o": b"hunter2"}
    assert masker.data(given_) == {
        "s": ["a", "b"],
        "p": "/x",
        "t": ["x", None, 1, 1.5, True],
        "o": "b'***'",
    }


def test_our_own_words_are_never_hidden() -> None:
    masker = Masker(["0f3c", "ok"])
    report = RunReport("p", {}, [HostReport("h", [ModuleReport("m", "ok", 0.0)], IMAGE)])
    host = json.loads(report.to_json(masker))["hosts"][0]
    assert host["modules"][0]["state"] == "ok"
    assert host["image"]["id"] == DIGEST


# The report


def test_json_report_has_the_names_of_the_contract() -> None:
    modules = [
        ModuleReport("packages", "ok", 0.12345, note="not for the report"),
        ModuleReport("timezone", "would change", 0.0, [EDIT]),
        ModuleReport("hostname", "skipped", 0.0),
        ModuleReport("locale", "failed", 1.0),
    ]
    good = HostReport("archie", modules, IMAGE, None, 1.23456, 4)
    bad = HostReport("badger", error=ERROR)
    report = RunReport("debian", {"suite": "trixie", "password": "hunter2"}, [good, bad])
    assert json.loads(report.to_json(Masker(["hunter2"]))) == {
        "playbook": "debian",
        "options": {"suite": "trixie", "password": "***"},
        "hosts": [
            {
                "host": "archie",
                "ok": 1,
                "changed": 0,
                "would_change": 1,
                "skipped": 1,
                "failed": 1,
                "seconds": 1.235,
                "round_trips": 4,
                "modules": [
                    {"name": "packages", "state": "ok", "seconds": 0.123, "changes": []},
                    {
                        "name": "timezone",
                        "state": "would change",
                        "seconds": 0.0,
                        "changes": [
                            {
                                "resource": "/etc/timezone",
                                "summary": "new content",
                                "before": "UTC\n",
                                "after": "Europe/Paris\n",
                                "depends_on": "debootstrap",
                            }
                        ],
                    },
                    {"name": "hostname", "state": "skipped", "seconds": 0.0, "changes": []},
                    {"name": "locale", "state": "failed", "seconds": 1.0, "changes": []},
                ],
                "image": {
                    "id": DIGEST,
                    "digest": DIGEST,
                    "size": 113_400_000,
                    "tags": ["demo/debian:1"],
                    "sent_bytes": 113_400_000,
                    "state": "changed",
                },
                "error": None,
            },
            {
                "host": "badger",
                "ok": 0,
                "changed": 0,
                "would_change": 0,
                "skipped": 0,
                "failed": 0,
                "seconds": 0.0,
                "round_trips": 0,
                "modules": [],
                "image": None,
                "error": {
                    "type": "StepError",
                    "what": "locale-gen ended with status 1",
                    "where": "locale",
                    "hint": "name one that is there",
                },
            },
        ],
    }


@given(anything)
def test_json_cannot_act_on_a_terminal_and_reads_back(text: str) -> None:
    printed = RunReport("p", {"x": text}).to_json()
    assert not ACTING.search(printed)
    assert json.loads(printed)["options"]["x"] == json.loads(json.dumps(text))


def test_exit_code_is_the_highest_of_the_plays() -> None:
    well = HostReport("a")
    failed = HostReport("b", [ModuleReport("m", "failed", 0.0)])
    assert RunReport("p").exit_code == 0
    assert RunReport("p", {}, [well]).exit_code == 0
    assert RunReport("p", {}, [well, failed]).exit_code == 1
    ends = [HostReport(str(n), error=e) for n, e in enumerate([HostError(""), ShipError("")])]
    assert RunReport("p", {}, [failed, *ends]).exit_code == 4
    ended = HostReport("c", error=Interrupted("stopped"))
    assert RunReport("p", {}, [*ends, ended, well]).exit_code == 130


def test_sizes() -> None:
    sizes = [0, 999, 1000, 999_949, 999_950, 113_400_000, 2 * 10**9, 10**15]
    expected = ["0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "113.4 MB", "2.0 GB", "1000.0 TB"]
    assert [size_text(size) for size in sizes] == expected


# The event log


def play(reporter: Reporter, host: str, text: str = "I: Retrieving libc6") -> HostReport:
    """Play everything there is to report, quickly."""
    reporter.play_started(host, "debian", ["debootstrap", "timezone"])
    reporter.module_started(host, "debootstrap")
    reporter.output(host, text)
    modules = [
        ModuleReport("debootstrap", "changed", 11.93),
        ModuleReport("timezone", "changed", 0.1, [EDIT]),
    ]
    for module in modules:
        reporter.module_done(host, module)
    reporter.shipping(host, 113_400_000, "docker")
    for sent in range(0, 113_400_001, 113_400):
        reporter.shipped_bytes(host, sent)
    reporter.image_done(host, IMAGE)
    reporter.note(host, text)
    report = HostReport(host, modules, IMAGE, None, 12.5, 3)
    reporter.play_done(host, report)
    return report


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


# The console, not on a terminal


def printed(console_of: dict[str, bool], *reports: HostReport, masker: Masker | None = None) -> str:
    stream = io.StringIO()
    with Console(stream, masker=masker, **console_of) as console:
        console.run_started("debian", [report.host for report in reports])
        for report in reports:
            names = [module.name for module in report.modules]
            console.play_started(report.host, "debian", names)
            for module in report.modules:
                console.module_done(report.host, module)
            if report.image:
                console.image_done(report.host, report.image)
            console.play_done(report.host, report)
        console.run_done(RunReport("debian", {}, reports))
    return stream.getvalue()


def test_one_host() -> None:
    modules = [
        ModuleReport("packages", "ok", 0.0),
        ModuleReport("debootstrap", "changed", 11.93, [EDIT]),
        ModuleReport("timezone", "skipped", 0.0, note="none here"),
    ]
    assert printed({}, HostReport("localhost", modules, IMAGE, None, 12.51, 3)) == (
        "debian on localhost\n"
        "ok            packages       0.0 s\n"
        "changed       debootstrap   11.9 s\n"
        "skipped       timezone              none here\n"
        "changed       image                 113.4 MB sent\n"
        "\n"
        "localhost : ok=1 changed=1 skipped=1 failed=0 round trips=3 12.5 s\n"
        "image sha256:0f3c61d2a9b1 demo/debian:1 113.4 MB changed, sent\n"
    )


def test_check_shows_summaries_and_what_they_wait_for() -> None:
    modules = [ModuleReport("timezone", "would change", 0.0, [EDIT])]
    image = ImageReport("", "", 0, ["demo/debian:1"], 0, "would change")
    assert printed({"check": True}, HostReport("localhost", modules, image, None, 0.5, 1)) == (
        "debian on localhost, a check: nothing is changed\n"
        "would change  timezone           (after debootstrap)\n"
        "    /etc/timezone: new content\n"
        "would change  image\n"
        "\n"
        "localhost : ok=0 changed=0 would change=1 skipped=0 failed=0 round trips=1 0.5 s\n"
        "image demo/debian:1 would change\n"
    )


def test_several_hosts() -> None:
    modules = [ModuleReport("locale", "failed", 0.6)]
    assert printed(
        {},
        HostReport("archie", [ModuleReport("locale", "changed", 1.0)], IMAGE, None, 12.51, 3),
        HostReport("b", modules, None, ERROR, 1.2, 2),
    ) == (
        "debian on archie, b\n"
        "archie  changed       locale    1.0 s\n"
        "archie  changed       image            113.4 MB sent\n"
        "b       failed        locale    0.6 s\n"
        "b       error: locale-gen ended with status 1\n"
        "b         where: locale\n"
        "b         hint: name one that is there\n"
        "\n"
        "host    ok  changed  skipped  failed  round trips     time\n"
        "archie   0        1        0       0            3   12.5 s\n"
        "b        0        0        0       1            2    1.2 s\n"
        "archie  image sha256:0f3c61d2a9b1 demo/debian:1 113.4 MB changed, sent\n"
        "b       error: locale-gen ended with status 1\n"
    )


def diff_of(before: str | None, after: str | None, path: str = "/etc/x", **console: bool) -> str:
    change = ChangeReport(path, "the summary", before, after)
    stream = io.StringIO()
    Console(stream, diff=True, masker=Masker(["hunter2"]), **console).module_done(
        "localhost", ModuleReport("file", "changed", 0.1, [change])
    )
    return stream.getvalue().partition("\n")[2]


def test_diffs() -> None:
    assert diff_of("a\nb\n", "a\n\tc") == (
        "    --- before /etc/x\n"
        "    +++ after /etc/x\n"
        "    @@ -1,2 +1,2 @@\n"
        "     a\n"
        "    -b\n"
        "    +\tc\n"
        "    \\ No newline at end of file\n"
    )
    assert "    -a\n    \\ No newline at end of file\n    +a\n" in diff_of("a", "a\n")
    assert "    @@ -0,0 +1 @@\n    +a\n" in diff_of(None, "a\n")
    assert "    @@ -1 +0,0 @@\n    -a\n" in diff_of("a\n", None)
    assert diff_of(None, None) == "    /etc/x: the summary\n"
    assert diff_of(None, "") == "    /etc/x: the summary\n"
    assert diff_of("a\n", "b\n", check=True).startswith("    /etc/x: the summary\n    --- before")
    assert diff_of("\0", "\1") == "    binary contents differ\n"
    assert "too long" in diff_of("a\n" * 300_000, "b\n" * 300_000)
    # What separates lines elsewhere in Unicode does not here, and nothing acts on the terminal.
    assert "    -a^L\\u2028b^M\n    +^[[2J\n" in diff_of("a\x0c\u2028b\r\n", "\x1b[2J\n")


def test_secrets_are_out_of_diffs_before_they_are_cut_into_lines() -> None:
    assert "hunter2" not in (shown := diff_of("x=hunter2\n", "y=hunter2\n"))
    assert "+y=***" in shown
    assert diff_of("hunter2\n", "***\n") == "    /etc/x: the summary\n"


def test_a_name_cannot_pass_for_a_line_of_ours() -> None:
    shown = diff_of("a\n", "b\n", path="/etc/x\nok            locale")
    assert "    --- before /etc/x^Jok            locale\n" in shown


@given(anything)
def test_whatever_a_host_says_is_harmless(text: str) -> None:
    stream = io.StringIO()
    console = Console(stream, diff=True, check=True, verbose=True, masker=Masker(["hunter2"]))
    hostile = text + "hun\x1b[0mter2" + text
    play(console, hostile, hostile)
    change = ChangeReport(hostile, hostile, None, hostile, depends_on=hostile)
    console.module_done(hostile, ModuleReport(hostile, "would change", 0.0, [change], hostile))
    error = StepError(hostile, where=hostile, output=hostile, command=hostile, hint=hostile)
    image = ImageReport(hostile, hostile, 1, [hostile], 1, "ok", hostile)
    report = HostReport(hostile, [], image, error)
    console.play_done(hostile, report)
    console.error(error)
    console.run_done(RunReport(hostile, {}, [report, report]))
    shown = stream.getvalue()
    assert not ACTING.search(shown)
    shown.encode()
    assert "hunter2" not in shown


def test_a_secret_split_by_escapes_is_hidden_too() -> None:
    stream = io.StringIO()
    console = Console(stream, verbose=True, masker=Masker(["hunter2"]))
    console.output("localhost", "it is hun\x1b[0mter2\r")
    assert stream.getvalue() == "    it is ***\n"


def test_output_and_summaries_are_for_verbose() -> None:
    for verbose in (False, True):
        stream = io.StringIO()
        play(Console(stream, verbose=verbose), "localhost", "\x1b[1mI:\x1b[0m libc6\r")
        assert ("    I: libc6\n" in stream.getvalue()) is verbose
        assert ("    /etc/timezone: new content\n" in stream.getvalue()) is verbose


def test_notes_of_several_lines_are_aligned() -> None:
    stream = io.StringIO()
    Console(stream).note("localhost", "no engine answers;\nthe image is in dist/")
    assert stream.getvalue() == (
        "note          no engine answers;\n              the image is in dist/\n"
    )


def test_a_reader_who_leaves_does_not_end_the_run() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", buffering=1) as stream:
        play(Console(stream), "localhost")
        os.dup2(os.open(os.devnull, os.O_WRONLY), writing)  # so that closing it has no one to miss


def test_lines_of_hosts_that_play_at_once_do_not_tear() -> None:
    stream = io.StringIO()
    console = Console(stream, diff=True)
    hosts = [f"host{number}" for number in range(12)]
    console.run_started("debian", hosts)
    reports: list[HostReport] = []
    threads = [
        threading.Thread(target=lambda host=host: reports.append(play(console, host)))
        for host in hosts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    console.run_done(RunReport("debian", {}, reports))
    body, _, recap = stream.getvalue().partition("\n\n")
    assert body.startswith("debian on 12 hosts\n")
    diff = "(?:    [-+ @].*\n)"
    assert len(re.findall(rf"host\d+ +changed +timezone .*\n{diff}{{5}}(?=host|$)", body)) == 12
    assert re.fullmatch(rf"debian.*\n(?:(?:host\d+ +(?:changed|note) .*\n?){diff}*)*", body)
    assert len(recap.splitlines()) == 1 + 12 + 12


def test_what_is_reported_in_a_pause_is_printed_afterwards() -> None:
    stream = io.StringIO()
    console = Console(stream)
    with console.paused(), console.paused():
        console.note("localhost", "waited")
        assert stream.getvalue() == ""
    assert "waited" in stream.getvalue()


def test_all_reporters_are_told_of_everything(tmp_path: Path) -> None:
    stream, path = io.StringIO(), tmp_path / "events"
    with Reporters([Console(stream), EventLog(path)]) as both:
        both.run_started("debian", ["archie"])
        both.run_done(RunReport("debian", {}, [play(both, "archie")]))
    alone, path_alone = io.StringIO(), tmp_path / "alone"
    for one in (Console(alone), EventLog(path_alone)):
        one.run_started("debian", ["archie"])
        one.run_done(RunReport("debian", {}, [play(one, "archie")]))
    kinds = [re.findall('"event": "(?!shipped)(.*?)"', p.read_text()) for p in (path, path_alone)]
    assert kinds[0] == kinds[1]
    assert re.sub(r"\d s", "", stream.getvalue()) == re.sub(r"\d s", "", alone.getvalue())
    Reporters([]).close()


# The console on a real terminal

CHILD = """
import sys, time
import rootwright.report.console
from rootwright.report import *
rootwright.report.console._PATIENCE *= PATIENCE
masker = Masker(["hunter2"])
console = Console(masker=masker, diff=True)
with console:
    for host in sys.argv[1:]:
        console.play_started(host, "debian", ["debootstrap"])
        console.module_started(host, "debootstrap")
    for number in range(int(8 * PACE)):
        for host in sys.argv[1:]:
            console.output(host, f"\\x1b[2J[red]I:[/red] hunter2 libfoo{number} " + "x" * 300)
        time.sleep(0.1)
    for host in sys.argv[1:]:
        change = ChangeReport("/etc/x", "edit", "a\\n", "b\\x1b[2J\\n")
        console.module_done(host, ModuleReport("debootstrap", "changed", 1.0, [change]))
        console.shipping(host, 113_400_000, "docker")
    for number in range(1, 11):
        for host in sys.argv[1:]:
            console.shipped_bytes(host, 11_340_000 * number)
        time.sleep(0.1 * PACE)
    reports = []
    for host in sys.argv[1:]:
        image = ImageReport("sha256:" + "a" * 64, "", 113_400_000, ["t:1"], 113_400_000, "changed")
        console.image_done(host, image)
        reports.append(HostReport(host, [], image))
        console.play_done(host, reports[-1])
    console.run_done(RunReport("debian", {}, reports))
print("rich imported:", "rich" in sys.modules)
"""
HOME = str(Path(rootwright.__file__).parent.parent)


def child_env(**more: str) -> dict[str, str]:
    ours = {"PATH": os.environ["PATH"], "PYTHONPATH": HOME, "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    return ours | {"PYTHONUTF8": "1"} | more


def child_script(pace: float = 1, patience: int = 1) -> str:
    return CHILD.replace("PACE", str(pace)).replace("*= PATIENCE", f"*= {patience}")


def on_terminal(
    *hosts: str, pace: float = 1, patience: int = 1, width: int = 80, **env: str
) -> pexpect.spawn[str]:
    return pexpect.spawn(
        sys.executable,
        ["-c", child_script(pace, patience), *hosts],
        env=child_env(**env),
        dimensions=(24, width),
        encoding="utf-8",
        timeout=30,
    )


def all_of(child: pexpect.spawn[str]) -> str:
    child.expect(pexpect.EOF)
    assert child.before is not None
    child.close()
    assert child.exitstatus == 0
    return child.before


def test_a_terminal_has_live_lines_and_bars() -> None:
    shown = all_of(on_terminal("localhost"))
    live = re.findall(r"running       debootstrap .*?[\d.]+ s.*?I:.*?(?=\x1b)", shown)
    assert len(live) > 3
    assert all("[red]I:[/red] *** libfoo" in line for line in live)  # no markup, no secret
    assert not any("xxxxxxxxxx" * 8 in line for line in live)  # cut at the terminal's width
    bar = re.search(r"shipping .*?━.*? (\d+)%.*? [\d.]+/113.4 MB .*?MB/s.*?\d:\d\d:\d\d", shown)
    assert bar
    assert 10 <= int(bar[1]) < 100
    assert "\x1b[33mchanged" in shown
    assert "\x1b[32m    +b^[[2J\x1b[0m" in shown
    assert "\x1b[2J" not in shown
    assert "hunter2" not in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") > 0
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    # Nothing live stands below the module's line: what it said is no longer so.
    after = shown[shown.index("\x1b[33mchanged") :]
    assert "running" not in after


def test_each_host_has_a_live_line() -> None:
    shown = all_of(on_terminal("archie", "badger", width=120))
    assert re.search(r"archie.*?running.*\r\n.*?badger.*?running", shown)
    assert re.search(r"archie  shipping .*?%.*\r\n.*?badger  shipping .*?%", shown)


def test_no_color_leaves_the_live_lines() -> None:
    shown = all_of(on_terminal("localhost", NO_COLOR="1"))
    assert not re.search(r"\x1b\[[\d;]*m", shown)
    assert "running       debootstrap" in shown


def test_a_dumb_terminal_gets_plain_lines() -> None:
    shown = all_of(on_terminal("localhost", TERM="dumb"))
    assert "\x1b" not in shown
    assert "running" not in shown
    assert "rich imported: False" in shown


def test_a_play_that_is_over_at_once_does_not_import_rich() -> None:
    # At once is less than 0.2 s; a loaded machine may need longer for nothing.
    shown = all_of(on_terminal("localhost", pace=0, patience=100))
    assert "\x1b[33mchanged" in shown
    assert "rich imported: False" in shown


def test_an_interrupt_gives_the_cursor_back() -> None:
    child = on_terminal("localhost", pace=20)
    child.expect("running       debootstrap")
    child.kill(signal.SIGINT)
    child.expect(pexpect.EOF)
    assert child.before is not None
    child.close()
    assert "KeyboardInterrupt" in child.before
    shown = child.before.partition("Traceback")[0]
    assert shown.rindex("\x1b[?25h") > shown.rfind("\x1b[?25l")


def test_a_pipe_gets_no_escape() -> None:
    done = subprocess.run(
        [sys.executable, "-c", child_script(), "archie", "badger"],
        env=child_env(FORCE_COLOR="1"),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "\x1b" not in done.stderr
    assert "\r" not in done.stderr
    assert "running" not in done.stderr
    assert "%" not in done.stderr
    assert "archie  changed       debootstrap    1.0 s\n    --- before /etc/x\n" in done.stderr
    assert done.stdout == "rich imported: False\n"


def test_what_waits_in_a_pause_takes_the_live_line_away() -> None:
    script = (
        "import time; from rootwright.report import *; c = Console()\n"
        "with c:\n"
        "    c.module_started('h', 'x'); c.play_started('h', 'debian', ['x'])\n"
        "    time.sleep(.6)\n"
        "    with c.paused(): input('password? '); time.sleep(.4); print('DONE')\n"
        "    time.sleep(.6)\n"
    )
    child = pexpect.spawn(
        sys.executable, ["-c", script], env=child_env(), encoding="utf-8", timeout=30
    )
    child.expect("observing")
    child.expect_exact("password? ")
    assert child.before is not None
    assert "\x1b[?25h" in child.before
    child.sendline("")
    child.expect("DONE")
    assert "observing" not in (child.before or "")
    child.expect("observing")
    child.expect(pexpect.EOF)
    child.close()
