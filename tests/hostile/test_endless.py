"""Hosts that say gigabytes, ask for ever, or say nothing at all: each ends, in bounded memory."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest

from rootwright import session as sessions
from rootwright.errors import HostError, PrivilegeError, StepError
from rootwright.hosts import Host, base, connect
from rootwright.inventory import HostSpec
from tests.support.hostile_host import HostileHost, checked, opened


def test_many_small_records_are_as_much_as_a_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "RECORDS_LIMIT", 1 << 18)
    seen = 0

    def count(_kind: str, _payload: str) -> None:
        nonlocal seen
        seen += 1

    flood = r'say ready; take; yes "$(printf "\036%s " "$nonce")"'
    with opened(flood) as session, pytest.raises(StepError, match="does not end") as caught:
        session.request("true", on_record=count)
    checked(caught.value)
    assert 0 < seen <= (1 << 18) // sessions.RECORD_COST


@pytest.mark.parametrize("line", ["nothing new", "\\r"])
def test_output_in_a_request_has_an_end(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "OUTPUT_LIMIT", 1 << 19)
    flood = f"say ready; take; yes \"$(printf '{line}')\""
    with opened(flood) as session, pytest.raises(StepError, match="does not end") as caught:
        session.request("true")
    checked(caught.value)


def test_questions_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "ANSWERS_LIMIT", 40)
    flood = "say ready; take; while :; do printf 'Go on? '; done"
    with opened(flood) as session, pytest.raises(StepError, match="asks without end") as caught:
        session.request("true", answers=[(r"Go on\? ", "y")])
    checked(caught.value)


@pytest.mark.parametrize(
    "script",
    [
        "exec sleep 600",
        # Neither blanks nor a word now and then are a session.
        "while :; do printf ' '; sleep 0.05; done",
        "while :; do printf 'soon '; sleep 0.05; done",
        "while :; do echo soon; sleep 0.05; done",
        "while :; do say fact; sleep 0.05; done",
    ],
)
def test_a_host_that_never_opens_a_session(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "OPENING", 0.5)
    with pytest.raises(HostError, match="has not opened a session") as caught, opened(script):
        pass
    checked(caught.value)


def test_a_wait_for_a_person_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "OPENING", 0.5)
    prompt = r"""printf '%s' "[sudo $nonce]"; read -r answer; """
    ask = prompt + '[ "$answer" = secret ] && say ready; take'

    class Slow(HostileHost):
        """A host whose person takes longer than a host may."""

        def sudo_password(self) -> str:
            time.sleep(0.8)
            return super().sudo_password()

    with closing(Slow(ask)) as host, sessions.Session(host, sessions.SessionSpec("/x", "me")):
        pass


@pytest.mark.parametrize("secret", ["two\nlines", "a\rb", "a\0b"])
def test_a_password_of_several_lines_is_never_typed(secret: str, tmp_path: Path) -> None:
    class Odd(HostileHost):
        """A host whose person types this."""

        def __init__(self, script: str) -> None:
            super().__init__(script)
            self._ask = lambda _: secret

    said = tmp_path / "said"
    script = f"""printf '%s' "[sudo $nonce]"; head -n 1 >{said}; exec sleep 600"""
    with (
        closing(Odd(script)) as host,
        pytest.raises(PrivilegeError, match="more than one line") as caught,
    ):
        sessions.Session(host, sessions.SessionSpec("/x", "me"))
    assert secret not in "\n".join(checked(caught.value).lines())
    assert not said.exists() or said.read_bytes() == b""


# --- errors beside a stream


def peak() -> int:
    """Return the most memory that we had so far, in KiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def test_errors_are_kept_by_their_end(host: HostSpec) -> None:
    script = "head -c 150000000 /dev/zero >&2; echo; echo 'the end' >&2; exit 7"
    there: Host = connect(host, ask=lambda _: "")
    with closing(there), closing(there.stream(script)) as stream:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: proc(5)
        before = peak()
        assert stream.read(100) == b"\n"
        assert stream.read(100) == b""
        status, errors = stream.finish()
        grown = peak() - before
    assert (status, len(errors)) == (7, base.ERRORS_LIMIT)
    assert errors.endswith("\0the end\n")
    assert grown < 100_000  # KiB
