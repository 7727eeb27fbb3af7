"""Options that hold anything an argument can: taken literally, or refused with a reason."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootwright import cli
from rootwright.errors import RootwrightError
from rootwright.plan import all_items, steps
from rootwright.playbook import REGISTRY
from tests.support.hostile_host import checked
from tests.support.needs import lacks_root, needs
from tests.support.program import PATIENCE, REPOSITORY

# What an argument cannot hold is a NUL.
VALUES = (
    "$(touch pwned)`touch pwned`",
    "'\"; touch pwned; #\\",
    "a\nb\n",
    "-n",
    "--upload-pack=touch pwned",
    "../up",
    "\x1b[2J\x1b]0;title\x07\x9b6n",
    "{host}{arch}{nobody}%s%n{0.__class__}",
    "x" * 65536,
    "\udcff\udcfe",
    "\u202e\ufeff",
    "",
)

# Each argv as a person's, one after the other in one process: starting one takes a second.
_DRIVER = """
import contextlib, io, json, sys, traceback
from rootwright import cli

tasks = cli.namespace()
said = []
for argv in json.load(sys.stdin):
    out = io.StringIO()
    code, trace = None, ""
    with contextlib.redirect_stderr(out), contextlib.redirect_stdout(out):
        try:
            cli.main(["rootwright", *argv], tasks)
        except SystemExit as e:
            code = e.code
        except BaseException:
            trace = traceback.format_exc()
    said.append([code or 0, out.getvalue(), trace])
print(json.dumps(said))
"""


def run(folder: Path, *commands: list[str]) -> list[Any]:
    """Return the exit code, the output and the traceback of each command."""
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER],
        input=json.dumps(commands),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "DOCKER_HOST": "unix:///nonexistent"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


cli.namespace()
OPTIONS = (
    *("tag", "to", "host", "inventory", "parallel", "work-dir", "events"),
    *(option.replace("_", "-") for option in REGISTRY["debian"].options),
)


@pytest.mark.parametrize("option", OPTIONS)
def test_any_value_is_literal_or_refused(option: str, home: Path, tmp_path: Path) -> None:
    needs(lacks_root())
    usual = {"--mirror": "http://127.0.0.1:9/debian", "--security-mirror": "none"}
    usual |= {"--work-dir": f"{tmp_path}/work"}
    words = [word for k, v in usual.items() if k != f"--{option}" for word in (k, v)]
    commands = [["build-debian", *words, "--check", f"--{option}={value}"] for value in VALUES]
    here = tmp_path / "here"
    here.mkdir()
    for value, (code, said, trace) in zip(VALUES, run(here, *commands), strict=True):
        assert not trace, (value[:80], trace[-2000:])
        assert code in (0, 2, 3) or "is missing" in said, (value[:80], code, said[-2000:])
        assert code == 0 or "hint:" in said or option == "host", (value[:80], said[-2000:])
        assert max(map(len, said.splitlines()), default=0) < 1200, (value[:80], said[:2000])
        assert not set(said) & set("\x1b\x07\x9b\u202e"), (value[:80], said[-2000:])
    assert not list(tmp_path.rglob("pwned"))
    assert {path.name for path in tmp_path.iterdir()} <= {"home", "here", "up"}
    assert {path.name for path in here.iterdir()} <= set(VALUES)


FACTS = {
    "os": "arch",
    "arch": "x86_64",
    "dpkg_architecture": "amd64",
    "bootstrap_tools": "/usr/bin/mmdebstrap",
}
USUAL = {"mirror": "http://m/debian", "security_mirror": "none"}


@pytest.mark.parametrize(
    ("name", "option"),
    [(book.name, option) for book in REGISTRY.values() for option in book.options],
)
@given(value=st.text() | st.lists(st.text(), max_size=3) | st.sampled_from(VALUES))
def test_any_value_makes_a_plan_or_an_error(name: str, option: str, value: object) -> None:
    book = REGISTRY[name]
    usual = {name: value for name, value in USUAL.items() if name in book.options}
    try:
        settings = book.settings([("the test", usual | {option: value})])
        recipe = book.recipe(settings, FACTS)
        for item in all_items(steps(recipe)):
            item.resource.probe()
            item.resource.converge()
    except RootwrightError as e:
        checked(e)
        return
    assert settings[option] == value or book.options[option].kind != "str"


@given(st.text(st.characters(exclude_characters=",", exclude_categories=["Cs"])))
def test_a_label_says_what_was_said(text: str) -> None:
    book = REGISTRY["arch"]
    recipe = book.recipe(book.settings([("the test", {"labels": f"a={text}"})]), FACTS)
    assert recipe.image
    assert recipe.image.labels["a"] == text.rstrip()


def test_a_work_dir_is_taken_literally(home: Path, tmp_path: Path) -> None:
    needs(lacks_root())
    books = tmp_path / "books"
    books.mkdir()
    names = ["$(touch pwned)", "'\"; touch pwned; #", "-n", "a b  c", "\udcff", "*"]
    commands = [["doctor", f"--work-dir={tmp_path}/{name}/{name}"] for name in names]
    for code, said, trace in run(tmp_path, *commands):
        assert not trace
        assert code in (0, 1), said
        assert "disk space: " in said
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize("playbook", ["debian", "arch"])
def test_a_keyring_is_a_file_that_ends(playbook: str, home: Path, tmp_path: Path) -> None:
    needs(lacks_root())
    names = ("fifo", "zero", "folder", "large", "nothing")
    trap = {name: tmp_path / name for name in names}
    for path in trap.values() if playbook == "arch" else ():
        path.mkdir()
    at = {n: p / "archlinux.gpg" if playbook == "arch" else p for n, p in trap.items()}
    os.mkfifo(at["fifo"])
    at["zero"].symlink_to("/dev/zero")
    at["folder"].mkdir()
    with at["large"].open("wb") as file:
        file.truncate(1 << 40)
    inventory = tmp_path / "hosts.toml"
    inventory.write_text('[all]\nkeyring = "/etc/a\\u0000b"\n')
    usual = [f"build-{playbook}", "--mirror=http://127.0.0.1:9/", f"--work-dir={tmp_path}/work"]
    values = [*map(str, trap.values()), "~nobody-of-that-name/keys"]
    commands = [[*usual, f"--keyring={value}"] for value in values]
    for code, said, trace in run(tmp_path, *commands, [*usual, f"--inventory={inventory}"]):
        assert not trace
        assert code == 2, said
        assert "hint:" in said
        assert "keyring" in said
