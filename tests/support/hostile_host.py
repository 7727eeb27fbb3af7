"""Hosts that do not do what a session's own side would: real programs on real terminals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from rootwright.errors import RootwrightError
from rootwright.hosts.local import LocalHost, LocalTerminal
from rootwright.hosts.terminal import Terminal
from rootwright.session import Session, SessionSpec
from rootwright.text import harmless

# What every hostile script knows: the session's secret, and how to frame with it. $1 is the
# command line that the host was asked to run.
PREAMBLE = r"""
stty raw -echo
carried=$(printf %s "$1" | sed "s/.*' sh //" | tr -d ' ' | base64 -d)
nonce=$(printf %s "$carried" | sed -n 's/^rw_nonce=//p' | head -n 1)
say() { printf '\036%s %s\n' "$nonce" "$*"; }
take() { read -r key size && [ "$size" != bye ] && request=$(head -c "$size" | base64 -d); }
"""


class HostileHost(LocalHost):
    """A host whose shell is this script."""

    def __init__(self, script: str) -> None:
        super().__init__("evil", "none", lambda _: "secret")
        self.script = PREAMBLE + script

    def _start_terminal(self, command: str) -> Terminal:
        return LocalTerminal(["/bin/sh", "-c", self.script, "sh", command], self.name, self._bell)


BOOK = SessionSpec(folder="/nowhere/book", who="me")


@contextmanager
def opened(script: str) -> Iterator[Session]:
    """Open a session on a host whose shell is this script."""
    with closing(HostileHost(script)) as host, Session(host, BOOK) as session:
        yield session


def checked(error: RootwrightError) -> RootwrightError:
    """Check that an error is one that a person can be shown, and return it."""
    assert error.what
    assert error.hint
    assert harmless("\n".join(error.lines())) == "\n".join(error.lines())
    assert len("\n".join(error.lines())) < 100_000
    return error
