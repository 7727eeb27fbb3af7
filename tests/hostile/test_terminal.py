"""What a command in a root prints never acts on the terminal of whoever builds."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pexpect
import pytest

from tests.support.books import program_with
from tests.support.program import PATIENCE, REPOSITORY

_BOOK = r'''"""A playbook for tests."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rootwright.module import Module
from rootwright.playbook import Recipe, playbook
from rootwright.resource import Bootstrap, File, Resource

SAYS = r"""
printf '\033[2J\033[6n\033]0;title\007\033]52;c;cHduZWQ=\007\033Pq\033\\\033c'
printf '\302\2336n\302\2350;title\302\234\2332J\235'
printf '\016\017\007\005\b\b over\r'
printf 'of \342\200\256 use\n'
sleep 0.3
"""


@dataclass(frozen=True, kw_only=True)
class Loud(Module):
    """Says what no terminal should hear."""

    fails: bool

    def resources(self) -> Iterable[Resource]:
        end = SAYS + ("exit 1" if self.fails else "")
        text = "\033[2J\033]0;title\007\u009b6n\u202e\n"
        yield Bootstrap("loud", f'mkdir "$rw_root/etc"\n{end}', stamp="\033]0;title\007\n")
        yield File("/etc/\033[2Jname", text)


@playbook()
def loud(facts: Mapping[str, str], *, fails: bool = False) -> Recipe:
    """Be loud.

    fails: whether it fails.
    """
    return Recipe(root=[Loud(fails=fails)])
'''

# What rich itself needs to draw: colours, cursor movement within lines, line erasure, the cursor's
# visibility. None of them asks the terminal to answer, or leaves what is drawn.
_OWN = re.compile(rb"\x1b\[[0-9;]*[mAGKH]|\x1b\[\?25[lh]|\x1b\[[0-9]*[BCD]")
_ACTING = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80\xae")


@pytest.mark.parametrize("more", [["--verbose"], [], ["--check", "--diff"], ["--fails", "yes"]])
def test_no_escape_of_a_command_reaches_a_terminal(
    more: list[str], home: Path, work_dir: str, tmp_path: Path
) -> None:
    (tmp_path / "books").mkdir()
    (tmp_path / "books/loud.py").write_text(_BOOK)
    argv = [*program_with(tmp_path / "books"), "build-loud", "--work-dir", work_dir, *more]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TERM": "xterm-256color"}
    child: pexpect.spawn[bytes] = pexpect.spawn(
        argv[0], argv[1:], env=env, timeout=PATIENCE, dimensions=(40, 120)
    )
    try:
        child.expect(pexpect.EOF)
        child.wait()
    finally:
        child.close(force=True)
    said = child.before or b""
    assert (child.exitstatus == 0) == ("--fails" not in more), said
    assert b"\x1b" in said  # it drew something of its own
    assert b"loud" in said
    for forbidden in (b"\x1b[2J", b"\x1b[6n", b"\x1b]", b"\x1bP", b"\x1bc"):
        assert forbidden not in said
    assert not _ACTING.search(_OWN.sub(b"", said)), said
    said.decode()  # nor a lone C1 byte, which is no UTF-8
