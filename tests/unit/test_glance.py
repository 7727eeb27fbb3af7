"""A glance at many files says what their probes say, one by one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from rootwright.plan import Item
from rootwright.play import look_script, probe_script, vocabulary
from rootwright.resource import File, Resource, State, Symlink

_SHELLS = ("dash", "bash --posix", "busybox sh")


def _observe(script: str, shell: str, folder: Path) -> dict[int, State]:
    """Run a script as a session would; return the states it tells."""
    argv = shell.split()
    if not shutil.which(argv[0]):
        pytest.skip(f"{argv[0]} is missing")
    said = subprocess.run(
        [*argv, "-c", 'eval "$(cat)"'],
        input=f"rw_nonce=n0 rw_dir={folder}\n{vocabulary('')}\n{script}\n".encode(),
        capture_output=True,
        check=True,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
    )
    assert not said.stderr
    records = re.findall(r"\x1en0 state (\d+) (.*)\n", said.stdout.decode())
    assert len(records) == len({index for index, _ in records})
    return {int(index): State.parse(words) for index, words in records}


@pytest.mark.parametrize("shell", _SHELLS)
def test_a_glance_says_what_probes_say(shell: str, tmp_path: Path) -> None:
    root = tmp_path / "tree/rootfs"
    (root / "etc/sub").mkdir(parents=True)
    files = {
        "right": b"as wanted\n",
        "empty": b"",
        "wrong": b"something else\n",
        "a name": b"as wanted\n",
        "back\\slash": b"as wanted\n",
        "colon:": b"as wanted\n",
        "sub/deep": b"as wanted\n",
    }
    for name, content in files.items():
        (root / "etc" / name).write_bytes(content)
    (root / "etc/right").chmod(0o4750)
    os.mkfifo(root / "etc/fifo")
    (root / "etc/folder").mkdir()
    (root / "etc/link").symlink_to("right")
    (root / "etc/linked").symlink_to("/etc/sub")
    (root / "etc/out").symlink_to("../../..")
    wanted = dict.fromkeys([*files, "absent", "fifo", "folder", "link"], "as wanted\n")
    wanted |= {"empty": "", "linked/deep": "as wanted\n", "out/x": ""}
    resources: list[Resource] = [File(f"/etc/{name}", text) for name, text in wanted.items()]
    resources += [
        File("/etc/right", "as wanted\n", mode=0o600),  # the same path again
        File("/etc/right", "as wanted\n", owner="root"),
        Symlink("/etc/link", "right"),
    ]
    host = [Item(len(resources), "host", File(str(root / "etc/right"), "as wanted\n"))]
    items = [Item(i, "root", resource) for i, resource in enumerate(resources)] + host
    looked = _observe(look_script(items), shell, tmp_path)
    assert looked == _observe(probe_script(items), shell, tmp_path)
    assert len(looked) == len(items)


@pytest.mark.parametrize("shell", _SHELLS)
def test_many_files_are_looked_at_with_few_processes(shell: str, tmp_path: Path) -> None:
    folder = tmp_path / "tree/rootfs/etc"
    folder.mkdir(parents=True)
    items = [Item(i, "root", File(f"/etc/{i}", f"number {i}\n")) for i in range(300)]
    for i in range(300):
        (folder / str(i)).write_text(f"number {i}\n")
    script = f"rw_probe_file() {{ rw_fail 'probed one by one'; }}\n{look_script(items)}"
    states = _observe(script, shell, tmp_path)
    assert [items[i].resource.compare(states[i]) for i in range(300)] == [None] * 300
