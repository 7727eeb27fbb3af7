"""Commands, bootstraps and devices: when they are needed, and where they run."""

from __future__ import annotations

import base64
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rootwright.errors import StepError, UsageError
from rootwright.resource import Answer, Bootstrap, Command, Device
from tests.support.needs import lacks_program, lacks_root, needs
from tests.support.root import Root, own_file

ME, MINE = os.getuid(), os.getgid()


# --- devices ---------------------------------------------------------------------------------


def test_a_device_is_made_or_recorded(root: Root) -> None:
    (root.path / "dev").mkdir()
    null = Device("/dev/null", "c", 1, 3, owner=ME, group=MINE)
    root.converge([null])
    made = root.path / "dev/null"
    if made.exists():
        assert (os.major(made.stat().st_rdev), os.minor(made.stat().st_rdev)) == (1, 3)
    else:
        assert (root.state / "devices").read_text() == f"/dev/null c:1:3:666:{ME}:{MINE}\n"
    assert root.observe([null]) == [None]
    other = Device("/dev/null", "c", 1, 5, owner=ME, group=MINE)
    assert root.observe([other]) != [None]
    root.converge([other])
    assert root.observe([null, other])[1] is None


def test_devices_that_cannot_be_made_are_recorded_once(root: Root) -> None:
    (root.path / "dev").mkdir()
    names = ["/dev/a.b", "/dev/a+b", "/dev/a|b"]
    wanted = [Device(name, "c", 1, 3, owner=ME, group=MINE) for name in names]
    # Where mknod is forbidden, as in most containers.
    forbid = "mknod() { return 1; }\n"
    for device in [*wanted, *wanted]:
        assert root.run(forbid + device.converge()).returncode == 0
    lines = (root.state / "devices").read_text().splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted(names)
    assert root.observe(wanted) == [None] * 3


def test_a_record_goes_when_the_device_comes(root: Root) -> None:
    needs(lacks_root())
    (root.path / "dev").mkdir()
    null = Device("/dev/null", "c", 1, 3)
    assert root.run("mknod() { return 1; }\n" + null.converge()).returncode == 0
    assert root.run(null.converge()).returncode == 0
    if (root.path / "dev/null").exists():
        assert (root.state / "devices").read_text() == ""


def test_a_kind_of_device() -> None:
    wrong: Any = "q"
    with pytest.raises(UsageError):
        Device("/dev/x", wrong)
    with pytest.raises(UsageError):
        Device("/dev/x\ty", "c")


# --- commands --------------------------------------------------------------------------------


def test_a_command_without_a_guard_cannot_be() -> None:
    with pytest.raises(UsageError, match="exactly one guard"):
        Command("go", "true")
    with pytest.raises(UsageError, match="exactly one guard"):
        Command("go", "true", creates="/a", unless="true")


def test_a_stamped_command_runs_once_a_stamp(root: Root) -> None:
    script = 'echo ran >>"$rw_root/log"'
    for stamp, runs in (("one\n", 1), ("one\n", 1), ("two\n", 2)):
        root.converge([Command("go on", script, stamp=stamp, inside=False)])
        assert (root.path / "log").read_text() == "ran\n" * runs
    (change,) = root.observe([Command("go on", script, stamp="three\n", inside=False)])
    assert change
    assert (change.before, change.after) == ("two\n", "three\n")


def test_a_command_that_creates(root: Root) -> None:
    wanted = Command("go", 'echo "$GREETING" >"$rw_root/made"', creates="/made", inside=False,
                     env={"GREETING": "it's"})  # fmt: skip
    assert len(root.converge([wanted])) == 1
    assert (root.path / "made").read_text() == "it's\n"
    assert root.converge([wanted]) == []


def test_a_failing_command_records_nothing(root: Root) -> None:
    wanted = Command("go", "false; true", stamp="x", inside=False)
    with pytest.raises(StepError):
        root.converge([wanted])
    assert root.observe([wanted]) != [None]


def test_a_command_gets_no_input(root: Root) -> None:
    root.converge([Command("go", "! read -r line", stamp="x", inside=False)])


# --- bootstraps ------------------------------------------------------------------------------


def test_a_bootstrap_takes_the_place_of_the_root_before(root: Root) -> None:
    (root.path / "old").touch()
    script = 'echo 7 >"$rw_state/epoch"; touch "$rw_root/new" "$TMPDIR/left"'
    wanted = Bootstrap("root", script, stamp="one=1\n")
    assert len(root.converge([wanted])) == 1
    assert [p.name for p in root.path.iterdir()] == ["new"]
    assert sorted(p.name for p in root.state.iterdir()) == ["epoch", "rootfs", "stamps"]
    assert root.converge([wanted]) == []
    assert root.run("echo $rw_epoch").stdout == b"7\n"


def test_a_bootstrap_that_fails_leaves_the_root_before(root: Root) -> None:
    (root.path / "old").touch()
    wanted = Bootstrap("root", 'touch "$rw_root/new"; false; true', stamp="one=1\n")
    with pytest.raises(StepError):
        root.converge([wanted])
    assert [p.name for p in root.path.iterdir()] == ["old"]
    assert root.observe([wanted]) != [None]


def test_a_bootstrap_without_a_stamp_cannot_be() -> None:
    with pytest.raises(UsageError):
        Bootstrap("root", "true", creates="/bin/sh")


# --- guards, inside a root -------------------------------------------------------------------


@pytest.fixture
def busybox_root(root: Root) -> Root:
    needs(lacks_root(), lacks_program("busybox", "busybox"))
    for name in ("bin", "proc", "sys", "dev", "run", "tmp"):
        (root.path / name).mkdir()
    busybox = shutil.which("busybox") or ""
    linked = subprocess.run(["ldd", busybox], capture_output=True, text=True, check=False).stdout
    for needed in [busybox, *re.findall(r"/\S+", linked)]:
        (root.path / needed[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(needed, root.path / needed[1:])
    for name in ("sh", "cat", "touch"):
        (root.path / "bin" / name).symlink_to(busybox)
    return root


def test_a_guard_sees_the_root_and_nothing_of_the_caller(
    busybox_root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODD", "1")
    monkeypatch.setenv("LC_ALL", "xx_YY")
    (busybox_root.path / "here").touch()
    for script, holds in (
        ("[ -e /here ]", True),
        ("[ -e /there ]", False),
        ('[ -z "${ODD-}" ]', True),
        ('[ "$LC_ALL" = C.UTF-8 ]', True),
        ("false; true", False),
        ('echo "$NOBODY"', False),
    ):
        wanted = Command("go", "true", unless=script)
        assert (busybox_root.observe([wanted]) == [None]) == holds, script


def test_a_guard_in_a_root_that_is_not_there_yet_says_no(root: Root) -> None:
    assert root.observe([Command("go", "true", unless="true")]) != [None]


def test_a_root_knows_its_own_date_whatever_the_caller_s(busybox_root: Root) -> None:
    (busybox_root.state / "epoch").write_text("7\n")
    wanted = Command("go", "echo $SOURCE_DATE_EPOCH >/seen", creates="/seen")
    Root(busybox_root.folder, busybox_root.shell, epoch="123").converge([wanted])
    assert (busybox_root.path / "seen").read_text() == "7\n"


@pytest.mark.parametrize("inside", [True, False])
def test_a_failure_can_be_seen_again_by_hand(busybox_root: Root, inside: bool) -> None:
    where = '"$rw_root"' if not inside else ""
    script = f'echo "$A" >{where}/seen; exit 7'
    wanted = Command("go", script, creates="/nothing", env={"A": "it's $A"}, inside=inside)
    replayed = wanted.replay(str(busybox_root.path))
    assert subprocess.run(["sh", "-c", replayed], env={"PATH": os.environ["PATH"]}).returncode == 7
    assert (busybox_root.path / "seen").read_text() == "it's $A\n"


@pytest.mark.parametrize("pattern", ["(?i)continue", "(", "a)(b", "\udcff"])
def test_an_answer_has_a_pattern_that_can_be_looked_for(pattern: str) -> None:
    with pytest.raises(UsageError, match="is no regular expression"):
        Answer(pattern, "y")


def test_what_a_host_remembers_is_seen_before_anything_is_made(root: Root) -> None:
    stamps = root.folder / ".host/stamps"
    stamps.mkdir(parents=True)
    (stamps / "go").write_text("done")
    done = root.run(f"rw_dir={root.folder}/new\nrw_use host\nrw_stamp go")
    assert base64.b64decode(done.stdout) == b"done"


def test_a_command_runs_inside_and_leaves_no_mount(busybox_root: Root) -> None:
    mounts = Path("/proc/self/mounts").read_text()
    script = 'cat /proc/mounts >/list; echo "$$ $SOURCE_DATE_EPOCH $A" >/seen; touch /tmp/x /run/x'
    wanted = Command("go", script, creates="/seen", env={"A": "it's"})
    Root(busybox_root.folder, busybox_root.shell, epoch="123").converge([wanted])
    assert (busybox_root.path / "seen").read_text() == "1 123 it's\n"
    assert " /proc " in (busybox_root.path / "list").read_text()
    assert Path("/proc/self/mounts").read_text() == mounts
    for name in ("proc", "sys", "dev", "run", "tmp"):
        assert list((busybox_root.path / name).iterdir()) == []


def test_without_an_epoch_there_is_no_variable(busybox_root: Root) -> None:
    wanted = Command("go", 'echo "${SOURCE_DATE_EPOCH-unset}" >/seen', creates="/seen")
    busybox_root.converge([wanted])
    assert (busybox_root.path / "seen").read_text() == "unset\n"


def test_files_made_inside_are_readable_whatever_the_caller_s_mask(busybox_root: Root) -> None:
    mask = os.umask(0o077)
    try:
        busybox_root.converge([Command("go", "touch /seen", creates="/seen")])
        busybox_root.converge([Command("out", 'touch "$rw_root/o"', creates="/o", inside=False)])
    finally:
        os.umask(mask)
    assert stat.S_IMODE((busybox_root.path / "seen").stat().st_mode) == 0o644
    assert stat.S_IMODE((busybox_root.path / "o").stat().st_mode) == 0o644


def test_the_content_is_no_argument_of_any_process(root: Root) -> None:
    # Arguments have a limit and are seen by every user of the host.
    content = "s3cret" * 40000
    script = own_file("/hello", content).converge()
    assert base64.b64encode(content.encode()).decode() in script
    root.converge([own_file("/hello", content)])
    assert (root.path / "hello").read_text() == content
