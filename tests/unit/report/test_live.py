"""The console on a real terminal."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pexpect

import rootwright

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
