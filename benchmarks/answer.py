"""Answers pacstrap's questions as the article's expect script does: ``answer.py pacstrap …``."""

from __future__ import annotations

import sys

import pexpect

_ANSWERS = (
    (r"anyway\? \[Y/n\] ", "n"),
    (r"\(default=all\): ", ""),
    (r"\(default=\d+\): ", ""),
    (r"installation\? \[Y/n\] ", "y"),
)


def main(argv: list[str]) -> int:
    """Run a program, answer it, pass on what it says to standard error; return its status."""
    child = pexpect.spawn(argv[0], argv[1:], timeout=600, logfile=None, encoding="utf-8")
    child.logfile_read = sys.stderr
    patterns = [pattern for pattern, _ in _ANSWERS]
    while (found := child.expect([*patterns, pexpect.EOF])) < len(patterns):
        child.sendline(_ANSWERS[found][1])
    child.close()
    return child.exitstatus if child.exitstatus is not None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
