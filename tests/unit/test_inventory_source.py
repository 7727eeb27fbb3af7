"""What an inventory is read from: which format it has, and programs that misbehave."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from rootwright.errors import InventoryError
from rootwright.inventory import Inventory, source

JSON = '{"g": {"hosts": ["a"]}, "_meta": {"hostvars": {}}}'
TOML = "[hosts.a]"


def written(path: Path, text: str | bytes, *, executable: bool = False) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(0o755 if executable else 0o644)
    return path


def refused(path: Path) -> InventoryError:
    with pytest.raises(InventoryError) as caught:
        Inventory.load(path)
    error = caught.value
    assert error.exit_code == 2
    assert error.where.startswith(str(path))
    assert error.hint
    assert all(line.isprintable() for line in error.lines())
    return error


@pytest.mark.parametrize(
    ("name", "text", "foreign"),
    [
        ("hosts.json", JSON, True),
        ("hosts", JSON, True),
        ("hosts.toml", "\ufeff \n" + JSON, True),
        ("hosts.toml", TOML, False),
        ("hosts", TOML, False),
        ("hosts.txt", "# {\n" + TOML, False),
    ],
)
def test_the_format_shows_in_the_name_or_the_first_character(
    tmp_path: Path, name: str, text: str, foreign: bool
) -> None:
    inventory = Inventory.load(written(tmp_path / name, text))
    assert inventory.foreign == foreign
    assert "a" in inventory.hosts


def test_toml_with_the_name_of_json_is_refused(tmp_path: Path) -> None:
    assert refused(written(tmp_path / "hosts.json", TOML)).where.endswith("hosts.json:1")


def test_an_executable_is_run_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"#!/bin/sh\n[ \"$*\" = --list ] && cat >&2 && echo '{JSON}'"
    path = written(tmp_path / "hosts.toml", script, executable=True)
    assert "a" in Inventory.load(path).hosts
    # Not one of that name on the PATH.
    monkeypatch.chdir(tmp_path)
    assert "a" in Inventory.load(Path("hosts.toml")).hosts


def test_without_meta_it_is_asked_for_each_host(tmp_path: Path) -> None:
    script = """#!/bin/sh
case $1 in
--list) echo '{"g": ["a", "b", "--host"]}' ;;
--host) [ "$2" = b ] || echo "{\\"me\\": \\"$2\\"}" ;;
esac"""
    inventory = Inventory.load(written(tmp_path / "hosts", script, executable=True))
    assert inventory.variables("a") == {"me": "a"}
    assert inventory.variables("b") == {}
    assert inventory.variables("--host") == {"me": "--host"}


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (TOML, "chmod -x"),
        ("#!/no/such/interpreter\n", "#!/usr/bin/env"),
        ("#!/bin/sh\nprintf 'no \\033[31mway\\n' >&2\nexit 3", "status 3|no way"),
        ("#!/bin/sh\nkill -9 $$", "signal 9"),
        ("#!/bin/sh\necho hello", "not the JSON"),
        ("#!/bin/sh\n", "not the JSON"),
        ("#!/bin/sh\nprintf '\\377'", "UTF-8"),
        ("#!/bin/sh\nyes", "more than 16 MiB"),
        ("#!/bin/sh\nyes >&2 & exec yes", "more than 16 MiB"),
        ('#!/bin/sh\necho \'{"g": ["a"]}\'; [ $1 = --list ]', "--host a|status 1"),
        ('#!/bin/sh\ncase $1 in --list) echo \'{"g": ["a"]}\';; *) echo 1;; esac', "--host a"),
        ("#!/bin/sh\nread x </dev/tty", "status"),
    ],
)
def test_a_program_that_misbehaves_is_refused(tmp_path: Path, script: str, words: str) -> None:
    error = refused(written(tmp_path / "hosts", script, executable=True))
    for word in words.split("|"):
        assert word in "\n".join(error.lines())


@pytest.mark.parametrize("wait", ["sleep 1000", "sleep 1000 & exit 0", "exec >&- 2>&-; sleep 1000"])
def test_a_program_that_hangs_is_ended_with_all_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait: str
) -> None:
    monkeypatch.setattr(source, "SECONDS", 0.5)
    error = refused(
        written(tmp_path / "hosts", f"#!/bin/sh\ncd {tmp_path}\n{wait}", executable=True)
    )
    assert "not done after" in error.what
    end = time.monotonic() + 10
    while inside(tmp_path):
        assert time.monotonic() < end
        time.sleep(0.02)


def inside(folder: Path) -> list[str]:
    """Return the processes whose current folder is this one."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink() == folder:
                found.append(entry.name)
        except OSError:  # it ended while we looked
            continue
    return found
