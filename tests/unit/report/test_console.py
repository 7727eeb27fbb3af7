"""The console, not on a terminal."""

from __future__ import annotations

import io
import os
import re
import threading
from pathlib import Path

from hypothesis import given

from rootwright.errors import StepError
from rootwright.report import (
    ChangeReport,
    Console,
    EventLog,
    HostReport,
    ImageReport,
    Masker,
    ModuleReport,
    Reporters,
    RunReport,
)
from tests.support.reports import ACTING, EDIT, ERROR, IMAGE, anything, play


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
