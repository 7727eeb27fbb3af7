"""What plays at the same time share: turns, places, and one person to ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from rootwright.errors import Interrupted, PrivilegeError, RootwrightError, UsageError
from rootwright.together import Claims, Desk, Turns, refuse_shared

PATIENCE = 30


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as made:
        yield made


def error_of(future: Future[None]) -> RootwrightError:
    found = future.exception(PATIENCE)
    assert isinstance(found, RootwrightError)
    return found


def test_nobody_goes_on_before_all_have_claimed_or_left(pool: ThreadPoolExecutor) -> None:
    claims = Claims(["a", "b", "c"])
    waiting = [pool.submit(claims.settle, host, [f"it-{host}:1"]) for host in ("a", "b")]
    time.sleep(0.1)
    assert not any(future.done() for future in waiting)
    claims.leave("c")
    assert [future.result(PATIENCE) for future in waiting] == [None, None]


def test_two_that_claim_one_place_both_stop(pool: ThreadPoolExecutor) -> None:
    claims = Claims(["a", "b"])
    waiting = [pool.submit(claims.settle, host, ["it:1"]) for host in ("a", "b")]
    assert [type(error_of(future)) for future in waiting] == [UsageError] * 2
    with pytest.raises(UsageError, match="a and b would both ship to it:1"):
        refuse_shared({"a": ["it:1"], "b": ["other:1", "it:1"]})


def test_when_it_is_closed_those_who_wait_are_let_go(pool: ThreadPoolExecutor) -> None:
    claims = Claims(["a", "b", "mute"])
    waiting = [pool.submit(claims.settle, host, []) for host in ("a", "b")]
    time.sleep(0.1)
    claims.close()
    assert [type(error_of(future)) for future in waiting] == [Interrupted] * 2


def test_so_many_have_a_turn_and_one_that_waits_lends_its_own(pool: ThreadPoolExecutor) -> None:
    turns = Turns(1)
    lent, entered = threading.Event(), threading.Event()

    def first() -> None:
        with turns.taken(), turns.lent():
            lent.set()
            assert entered.wait(PATIENCE)

    def second() -> None:
        assert lent.wait(PATIENCE)
        with turns.taken():
            entered.set()

    for future in [pool.submit(first), pool.submit(second)]:
        future.result(PATIENCE)


@pytest.mark.parametrize("answer", ["secret", PrivilegeError("none was typed")])
def test_the_main_thread_alone_asks(pool: ThreadPoolExecutor, answer: str | Exception) -> None:
    asked: list[threading.Thread] = []

    def ask(_host: str) -> str:
        asked.append(threading.current_thread())
        if isinstance(answer, Exception):
            raise answer
        return answer

    desk = Desk(ask)
    plays = [pool.submit(desk.ask, host) for host in ("a", "b")]
    desk.serve(plays)
    assert asked == [threading.current_thread()] * 2
    said = [play.exception() or play.result() for play in plays]
    assert said == [answer] * 2


def test_a_desk_that_is_closed_lets_go_of_those_who_ask(pool: ThreadPoolExecutor) -> None:
    desk = Desk(lambda _: "never")
    waiting = pool.submit(desk.ask, "a")
    desk.closed.set()
    assert isinstance(waiting.exception(PATIENCE), Interrupted)
