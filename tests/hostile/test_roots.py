"""A root that is out to deceive: what is written stays inside, or nothing is."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from rootwright.inventory import HostSpec
from rootwright.resource import Absent, Directory, File, Line, Symlink
from tests.support.plays import module, play, root, tree
from tests.support.snapshot import snapshot

pytestmark = pytest.mark.usefixtures("own_registry")

HARMLESS = ["fifo", "device", "socket", "link to a file"]
REFUSED = ["link above", "link absolute", "parent link", "folder"]


@pytest.mark.parametrize("trap", [*HARMLESS, *REFUSED])
def test_a_hostile_root_leads_nowhere_else(
    local: HostSpec, work_dir: str, tmp_path: Path, trap: str
) -> None:
    outside = tmp_path / "outside"
    (outside / "etc").mkdir(parents=True)
    (outside / "etc/conf").write_text("theirs\n")
    (outside / "etc/old").write_text("theirs\n")
    assert play(local, work_dir, tree()).error is None
    etc = root(work_dir) / "etc"
    conf = etc / "conf"
    up = "../" * 20
    if trap == "link above":
        etc.rmdir()
        etc.symlink_to(up + str(outside / "etc"))
    elif trap == "link absolute":
        etc.rmdir()
        etc.symlink_to(outside / "etc")
    elif trap == "parent link":
        (root(work_dir) / "usr/bin").rmdir()
        (root(work_dir) / "usr/bin").symlink_to(up + str(outside))
        etc.rmdir()
        etc.symlink_to("usr/bin/etc")
    elif trap == "fifo":
        os.mkfifo(conf)
    elif trap == "device":
        try:
            os.mknod(conf, 0o666 | stat.S_IFCHR, os.makedev(1, 5))
        except PermissionError:
            os.mkfifo(conf)  # a container: a device is not to be had
    elif trap == "socket":
        os.mknod(conf, 0o666 | stat.S_IFSOCK)
    elif trap == "folder":
        (conf / "full").mkdir(parents=True)
    else:
        conf.symlink_to(up + str(outside / "etc/conf"))
    before = snapshot(outside)
    modules = [
        module("conf", File("/etc/conf", "ours\n")),
        module("line", Line("/etc/conf", "more")),
        module("folder", Directory("/etc/folder")),
        module("link", Symlink("/etc/link", "conf")),
        module("gone", Absent(("/etc/old", "/etc/o*"))),
    ]
    if trap in HARMLESS:
        assert play(local, work_dir, tree(), *modules, check=True).error is None
        assert play(local, work_dir, tree(), *modules).error is None
        assert conf.read_text() == "ours\nmore\n"
        assert conf.is_file()
        assert not conf.is_symlink()
    else:
        for one in modules:
            report = play(local, work_dir, tree(), one)
            assert report.exit_code == 1 or one.name in ("gone", "link", "folder"), one.name
            assert report.error is None or report.error.hint
        assert not (etc / "conf").is_file() or (etc / "conf").samefile(outside / "etc/conf")
    assert snapshot(outside) == before
