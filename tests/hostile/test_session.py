"""What a host may say, and what becomes of it: words, frames, noise, silence, floods.

The hosts are real programs on real terminals that do not do what a session's own side would do.
"""

from __future__ import annotations

import base64
import shlex
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rootwright import session
from rootwright.errors import BusyError, HostError, PrivilegeError, RootwrightError, StepError
from rootwright.hosts import terminal
from rootwright.resource import (
    Absent,
    Bootstrap,
    Command,
    Device,
    Directory,
    File,
    Line,
    Resource,
    State,
    Symlink,
)
from rootwright.session import Session
from rootwright.text import harmless
from tests.support.hostile_host import BOOK, HostileHost, checked, opened

SESSION_SH = Path(session.__file__).with_suffix(".sh")


def refused(script: str) -> RootwrightError:
    with pytest.raises(RootwrightError) as caught, opened(script):
        pass
    return checked(caught.value)


# --- opening


def test_what_a_host_greets_with_is_no_answer() -> None:
    with opened(r"echo Welcome; printf 'no end of line '; say ready; take; say end 0") as opened_:
        assert opened_.request("true").status == 0
        assert opened_.round_trips == 1


def test_a_frame_may_come_in_pieces() -> None:
    pieces = r"""
    printf '\036'; sleep 0.02; printf %s "$nonce"; sleep 0.02; printf ' rea'; sleep 0.02
    printf 'dy\n'
    take; printf '\036%s end' "$nonce"; sleep 0.02; printf ' 7\n'
    """
    with opened(pieces) as opened_:
        assert opened_.request("true").status == 7


def test_a_shell_that_ends_says_why() -> None:
    error = refused("echo 'unshare: unshare failed: Operation not permitted'; exit 1")
    assert isinstance(error, PrivilegeError)
    assert "Operation not permitted" in error.output
    assert "unshare" in error.hint


def test_a_host_that_hangs_up_at_once() -> None:
    assert isinstance(refused("exit 0"), PrivilegeError)


def test_escapes_in_what_a_host_says_are_taken_apart() -> None:
    error = refused(r"printf '\033]0;title\007\033[2Jred\033[0m \302\233 \033[6n\n'; exit 1")
    assert "red" in error.output


@pytest.mark.parametrize("kind", ["held", "facts"])
def test_what_should_be_base64_and_is_not(kind: str) -> None:
    assert "makes no sense" in refused(f"say {kind} '%%%'; say ready").what


def test_who_holds_the_root_is_shown_harmless() -> None:
    error = refused(r"say held $(printf 'me \033[2J since' | base64)")
    assert isinstance(error, BusyError)
    assert "^[[2J since" in error.what


def test_words_nobody_knows_are_passed_over() -> None:
    with opened("say; say what ever; say fact; say ready; take"):
        pass


def test_a_question_before_the_shell_is_shown_and_not_answered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(session, "DIALOGUE_SILENCE", 0.2)
    said = tmp_path / "said"
    error = refused(f"printf 'Verification code: '; read -r code; echo \"$code\" >{said}")
    assert isinstance(error, PrivilegeError)
    assert error.output == "Verification code: "
    assert not said.exists() or not said.read_text().strip()


# --- replies


def test_a_reply_that_breaks_off_does_not_hide_its_end() -> None:
    script = r"say ready; take; printf '\036%s state 3 ' "
    with opened(script + r'"$nonce"; say end 2; take; say end 0') as opened_:
        reply = opened_.request("true")
        assert (reply.status, reply.records) == (2, [("state", "3")])
        assert opened_.request("true").status == 0


def test_an_end_that_is_no_number() -> None:
    script = "say ready; take; say end over"
    with opened(script) as opened_, pytest.raises(StepError, match="makes no sense"):
        opened_.request("true")


def test_a_record_is_found_behind_any_output() -> None:
    script = r"say ready; take; printf 'half a line'; say one 1; printf '\377\000\033[1mx\r'; "
    with opened(script + "say two 2; say end 0") as opened_:
        seen: list[str] = []
        reply = opened_.request("true", on_output=seen.append)
        assert reply.records == [("one", "1"), ("two", "2")]
        assert seen == ["half a line", "\\xffx"]
        assert harmless("".join(seen)) == "".join(seen)


def test_only_the_session_itself_can_frame() -> None:
    script = r"say ready; take; printf '\036%s end 0\n' "
    with opened(script + "00000000000000000000000000000000; say end 3") as opened_:
        assert opened_.request("true").status == 3


def test_a_host_that_goes_away_in_the_middle() -> None:
    lost = pytest.raises(HostError, match="in the middle of a request")
    with opened("say ready; take; echo working; say one 1") as opened_, lost as caught:
        opened_.request("true")
    assert checked(caught.value).output == "working"


def test_after_the_end_a_request_is_an_error_too() -> None:
    with opened("say ready; take; exit 0") as opened_:
        for _ in range(2):
            with pytest.raises(HostError):
                opened_.request("true")


# --- dialogues


def ask(script: str, monkeypatch: pytest.MonkeyPatch) -> session.Reply:
    monkeypatch.setattr(session, "DIALOGUE_SILENCE", 0.2)
    with opened(f"say ready; take\n{script}\nsay end 0; take") as opened_:
        return opened_.request("true", answers=[(r"Go on\? \[Y/n\] ", "n")])


def test_a_question_is_answered_where_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    script = r"printf '\033[1m:: \033[0mGo on? [Y/n] \033[?25h'; read -r a; echo; echo got $a"
    assert ask(script, monkeypatch).output.endswith("got n")


def test_a_question_on_a_finished_line_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    # A log that repeats a question: what is typed now would be read by whatever comes next.
    monkeypatch.setattr(session, "DIALOGUE_SILENCE", 0.2)
    script = r"""
    say ready; take
    printf 'Go on? [Y/n] y\ndone\n'; say end 0
    read -r first rest; say record "$first"; say end 0; take
    """
    with opened(script) as opened_:
        opened_.request("true", answers=[(r"Go on\? \[Y/n\] ", "n")])
        (record,) = opened_.request("true").records
        assert record == ("record", opened_._nonce)


def test_a_question_that_nobody_can_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = tmp_path / "said"
    script = f"printf 'Format the disk? \\033[5m[Y/n] '; read -r a; echo \"$a\" >{said}"
    with pytest.raises(StepError, match="nobody told us") as caught:
        ask(script, monkeypatch)
    assert checked(caught.value).output == "Format the disk? [Y/n] "
    # Not even good-bye is said to a program that takes it for an answer.
    assert not said.exists() or not said.read_text().strip()


def test_silence_alone_is_no_question(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask("sleep 0.5; echo done", monkeypatch).output == "done"


# --- floods and silence


@pytest.mark.parametrize(
    "script",
    [
        "yes 'You have mail'",
        "yes ''",
        r"yes '' | tr '\n' '\r'",
        "while :; do say fact; done",
        "tr '\\0' x </dev/zero",
        "cat /dev/zero",
    ],
)
def test_a_flood_instead_of_a_shell_ends(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "LINE_LIMIT", 1 << 20)
    monkeypatch.setattr(session, "RECORDS_LIMIT", 1 << 19)
    error = refused(script)
    assert isinstance(error, StepError)
    assert "end" in error.what


@pytest.mark.parametrize(
    "script", ["yes | while read -r a; do say more $request; done", "yes | tr -d '\\n'"]
)
def test_a_flood_in_a_reply_ends(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "LINE_LIMIT", 1 << 20)
    monkeypatch.setattr(session, "RECORDS_LIMIT", 1 << 20)
    with opened(f"say ready; take; {script}") as opened_, pytest.raises(StepError, match="end"):
        opened_.request("x" * 3000)


def test_output_without_end_needs_no_memory() -> None:
    lines = 0

    def count(line: str) -> None:
        nonlocal lines
        lines += 1

    with opened("say ready; take; yes abcdefg | head -c 2000000; say end 0; take") as opened_:
        tracemalloc.start()
        try:
            reply = opened_.request("true", on_output=count)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert lines == 250_000
    assert peak < 1_000_000
    assert reply.output.count("\n") == session.TAIL_LINES - 1


def test_closing_does_not_wait_for_a_host_that_goes_on_talking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "CLOSING", 0.3)
    with opened("say ready; yes"):
        started = time.monotonic()
    assert time.monotonic() - started < 8


@pytest.mark.parametrize(
    ("script", "size"),
    [
        ("say ready; take; sleep 600", 10),
        ("say ready; exec sleep 600", 3_000_000),  # it does not even read
    ],
)
def test_hanging_up_ends_every_wait_from_another_thread(script: str, size: int) -> None:
    with closing(HostileHost(script)) as host:
        with Session(host, BOOK) as begun:
            timer = threading.Timer(0.2, host.hang_up)
            timer.start()
            with pytest.raises(HostError):
                begun.request("x" * size)
        # Nor does anything begin any more.
        with pytest.raises(HostError):
            Session(host, BOOK)
        with closing(host.stream("sleep 600")) as stream:
            assert stream.read(1) == b""


ANYTHING = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])


@ANYTHING
@given(st.binary(max_size=300))
def test_no_answer_is_too_strange(tmp_path: Path, said: bytes) -> None:
    file = tmp_path / "said"
    file.write_bytes(said)
    error = refused(f"cat {shlex.quote(str(file))}; exit 3")
    assert isinstance(error, (HostError, StepError))
    with opened(f"say ready; take; cat {shlex.quote(str(file))}; say end 3; take") as opened_:
        reply = opened_.request("true")
        assert reply.status == 3
        assert harmless(reply.output) == reply.output


# --- the host's own side


def serving(request: bytes, tmp_path: Path) -> bytes:
    """Return what the loop of a session answers to bytes that end there."""
    done = subprocess.run(
        ["sh", "-c", 'rw_nonce=n0nce; . "$1"; rw_serve', "sh", SESSION_SH],
        input=request,
        capture_output=True,
        timeout=20,
    )
    return done.stdout


@pytest.mark.parametrize("missing", [1, 4, 5, 12])
def test_a_request_that_was_cut_short_is_not_run(tmp_path: Path, missing: int) -> None:
    # "touch FILE # …": every beginning of it is a program too.
    file = tmp_path / "touched"
    encoded = base64.b64encode(f"touch {file} # and then some".encode())
    said = serving(b"n0nce %d\n" % len(encoded) + encoded[:-missing], tmp_path)
    assert not file.exists()
    assert b"end" not in said
    serving(b"n0nce %d\n" % len(encoded) + encoded, tmp_path)
    assert file.exists()


def test_what_was_typed_for_a_program_is_no_request(tmp_path: Path) -> None:
    said = serving(b"y\n\nbye\n12 x\nn0nce 8\nZXhpdCA3n0nce bye\nn0nce 8\nZXhpdCA4", tmp_path)
    assert said == b"\x1en0nce ready\n\x1en0nce end 7\n"


# --- words

BASES: list[Resource] = [
    File("/a", "b\n"),
    Directory("/a"),
    Symlink("/a", "b"),
    Line("/a", "b"),
    Absent(("/a",)),
    Device("/a", "c", 1, 3),
    Command("a b", "true", creates="/a"),
    Command("a b", "true", stamp="s"),
    Bootstrap("a", "true", stamp="s"),
]
KEYS = ["mode", "uid", "gid", "rdev", "size", "sha256", "b64", "to", "after", "same", "count"]
KEYS += ["stamp", "done", "record", "owner", "group", "refused"]

words = st.builds(
    lambda key, value: f"{key}={value}",
    st.sampled_from(KEYS),
    st.one_of(
        st.integers().map(str),
        st.integers(0, 1 << 40).map(lambda n: f"{n:x}"),
        st.text("0123456789abcdef", max_size=12),
        st.text("ABCxyz019+/=:.-", max_size=12),
        st.sampled_from(["", "1", "41ed", "81a4", "a1ff", "Yg==", "ffffffffff", "9" * 5000]),
    ),
)


def understood(line: str) -> State | None:
    try:
        return State.parse(line)
    except StepError as e:
        checked(e)
        return None


@given(st.text())
def test_a_line_is_words_or_an_error(line: str) -> None:
    state = understood(line)
    if state:
        assert State.parse(" ".join(f"{k}={v}" for k, v in state.fields.items())) == state


@settings(max_examples=300)
@given(st.lists(words, max_size=8), st.sampled_from(BASES))
def test_no_answer_to_a_probe_is_more_than_a_change_or_an_error(
    answer: list[str], resource: Resource
) -> None:
    attempts: list[Callable[[], object]] = [
        lambda: resource.compare(State.parse(" ".join(answer))),
        lambda: State.parse(" ".join(answer)).describe(),
    ]
    for attempt in attempts:
        try:
            attempt()
        except StepError as e:
            checked(e)
