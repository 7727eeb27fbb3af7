"""What a play asks of its host before it starts, and what it makes of the answers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from rootwright.doctor import PLAYED, require
from rootwright.errors import StepError


def facts(**path: str) -> dict[str, str]:
    """Return what this machine answers; path: the only folders with commands."""
    return {
        check.fact: subprocess.run(
            ["/bin/sh", "-c", f"rw_dir=/var/tmp/not/there\n{check.script}"],
            capture_output=True,
            text=True,
            env={"LC_ALL": "C", "PATH": path.get("path", "/usr/bin:/bin:/usr/sbin:/sbin")},
        ).stdout.strip()
        for check in PLAYED
    }


def test_a_machine_with_everything_lacks_nothing() -> None:
    require(facts(), "box", room=False)


def test_the_first_tool_that_is_missing_is_named_with_its_package(tmp_path: Path) -> None:
    for name in ("tar", "sha256sum", "base64", "chroot"):
        (tmp_path / name).symlink_to(f"/usr/{'sbin' if name == 'chroot' else 'bin'}/{name}")
    with pytest.raises(StepError, match="awk is missing") as caught:
        require(facts(path=str(tmp_path)), "box", room=False)
    assert "apt-get install gawk" in caught.value.hint
    assert caught.value.where == "box"


@pytest.mark.parametrize(
    ("fact", "said", "lack"),
    [
        ("check-GNU-tar", "bsdtar 3.6.2 - libarchive 3.6.2", "tar is not GNU tar"),
        ("check-GNU-tar", "", "tar is not GNU tar"),
        ("check-clock", "1700000000", "the host.s clock is .* s off ours"),
        ("check-disk-space", "Filesystem Blocks Used\n/dev/a 100 0 2048 0% /", "only 2 MiB are"),
        ("check-disk-space", "", "only 0 MiB are free"),
    ],
)
def test_what_a_host_says_may_be_a_lack(fact: str, said: str, lack: str) -> None:
    with pytest.raises(StepError, match=lack):
        require({**facts(), fact: said}, "box", room=True)


def test_little_room_is_no_lack_when_no_root_is_made() -> None:
    require({**facts(), "check-disk-space": "nothing"}, "box", room=False)
