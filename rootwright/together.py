"""What plays at the same time share: turns, the names they ship to, one person at the keyboard."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any

from rootwright.errors import Interrupted, RootwrightError, UsageError
from rootwright.hosts import PasswordPrompt

WAKING = 0.5
"""Seconds after which whoever waits looks up: a signal that came between two looks, or that the
kernel gave to another thread, does not end the wait itself."""


class Turns:
    """So many plays work at a time; one that has to wait for the others lets another one work."""

    def __init__(self, parallel: int) -> None:
        """Take how many."""
        self._free = threading.Semaphore(parallel)

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for a turn and have it for the block."""
        with self._free:
            yield

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """Let another play have one's turn for the block; wait for one again."""
        self._free.release()
        try:
            yield
        finally:
            self._free.acquire()

    def end(self, plays: int) -> None:
        """Let so many plays go on at once: they have been stopped, and only have to end."""
        self._free.release(plays)


def refuse_shared(places: Mapping[str, Sequence[str]]) -> None:
    """Raise UsageError where two hosts would ship to one place.

    places: those of each host; the names of archives end in ``.tar``.
    """
    taken: dict[str, str] = {}
    for host, names in places.items():
        for name in names:
            if name in taken:
                raise UsageError(
                    f"{taken[name]} and {host} would both ship to {name}",
                    where="--to" if name.endswith(".tar") else "--tag",
                    hint="put {host} into the name",
                )
        taken |= dict.fromkeys(names, host)


class Claims:
    """The places that plays ship to, where these are known only on the hosts.

    No play goes on before each has claimed its places or is over; if two have claimed the same
    one, none goes on.
    """

    def __init__(self, hosts: Sequence[str]) -> None:
        """Take the hosts of all plays."""
        self._awaited = set(hosts)
        self._places: dict[str, Sequence[str]] = {}
        self._closed = False
        self._changed = threading.Condition()

    def settle(self, host: str, places: Sequence[str]) -> None:
        """Claim the places of a host, and wait for the others.

        Raises UsageError where two have claimed one place, Interrupted when nobody may go on.
        """
        with self._changed:
            self._places[host] = places
            self._said(host)
            self._changed.wait_for(lambda: self._closed or not self._awaited)
            if self._closed:
                raise Interrupted("interrupted", where=host)
            refuse_shared(dict(sorted(self._places.items())))

    def leave(self, host: str) -> None:
        """Say that a host's play is over; it may have claimed places before."""
        with self._changed:
            self._said(host)

    def close(self) -> None:
        """Let nobody go on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _said(self, host: str) -> None:
        self._awaited.discard(host)
        self._changed.notify_all()


class Desk:
    """Where plays leave what only the main thread can do: ask the person at the keyboard.

    One question at a time; and a Ctrl-C reaches the main thread alone, which so can end asking.
    """

    def __init__(self, ask: PasswordPrompt) -> None:
        """Take how to ask."""
        self._ask = ask
        self._visits: SimpleQueue[tuple[str, Future[str]] | None] = SimpleQueue()
        self.closed = threading.Event()

    def ask(self, host: str) -> str:
        """Have the main thread ask, and wait for the answer."""
        answer: Future[str] = Future()
        self._visits.put((host, answer))
        while not self.closed.is_set():
            with contextlib.suppress(TimeoutError):
                return answer.result(timeout=0.2)
        raise Interrupted("interrupted", where=host)

    def serve(self, plays: Sequence[Future[Any]]) -> None:
        """Answer until every play is over."""
        for play in plays:
            play.add_done_callback(lambda _: self._visits.put(None))
        left = len(plays)
        while left:
            try:
                visit = self._visits.get(timeout=WAKING)
            except Empty:
                continue
            if visit is None:
                left -= 1
                continue
            host, answer = visit
            try:
                answer.set_result(self._ask(host))
            except RootwrightError as e:
                answer.set_exception(e)
