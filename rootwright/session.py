"""The one shell in which a play lives: framed requests, dialogues, and an end that leaves nothing.

The host's side is ``session.sh``. Both sides meet on a terminal, because that is what makes
interactive programs ask their questions and what makes the host notice that we are gone: when the
terminal hangs up, the keeper ends the namespaces, and the kernel takes processes and mounts away.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import importlib.resources
import math
import re
import secrets
import shlex
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rootwright.errors import BusyError, HostError, PrivilegeError, RootwrightError, StepError
from rootwright.text import harmless, terminal_text, whole_number

if TYPE_CHECKING:
    from rootwright.hosts import Host

RECORDS_LIMIT = 64 * 1024 * 1024
"""Bytes of memory the records of one reply may take; honest ones have a few hundred a resource."""

RECORD_COST = 256
"""Bytes of memory a record takes besides what it says: many small ones are no less than one."""

OUTPUT_LIMIT = 1 << 30
"""Bytes a request may print: memory does not grow with them, but nothing honest prints as many."""

ANSWERS_LIMIT = 1000
"""Answers given in one request; a program that asks on and on reads none of them."""

OPENING = 300.0
"""Seconds a host may take to open a session, not counting those in which we are asked something."""

CHATTER_LIMIT = 128 * 1024
"""Bytes a host may print before its session is open; an honest one prints a greeting."""

TAIL_LINES = 25
"""Lines of output kept for an error message."""

DIALOGUE_SILENCE = 60.0
"""Seconds a program with a dialogue may stand at an unanswered line before it is a prompt."""

CLOSING = 10.0
"""Seconds to wait until a host that was asked to has cleaned up."""


@dataclass(frozen=True)
class SessionSpec:
    """What a session is opened for.

    folder: the folder, on the host, of the root that the session locks.
    check: make nothing on the host, not even that folder.
    who: who to name to others who find the root locked.
    vocabulary: sh that every request may use.
    facts: pairs of a name and sh that prints the fact.
    """

    folder: str
    who: str
    check: bool = False
    vocabulary: str = ""
    facts: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Reply:
    """What a request brought.

    status: the exit status of the request. records: kind and payload of each record, in order.
    output: the last lines that programs printed, harmless to a terminal.
    """

    status: int
    records: list[tuple[str, str]] = field(default_factory=list)
    output: str = ""


class Session:
    """An open session. Close it with `close`, or by leaving its ``with`` block."""

    def __init__(self, host: Host, spec: SessionSpec) -> None:
        """Open a session on a host.

        Raises PrivilegeError (no rights), BusyError (another play holds the root) or HostError.
        """
        self._nonce = secrets.token_hex(16)
        self._mark = b"\x1e" + self._nonce.encode() + b" "
        self._host = host
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._drawn = ""
        # Whether the host waits for a request: else what we send reaches a program.
        self._waiting = False
        self.round_trips = 0
        self.facts: dict[str, str] = {}
        self.folder = spec.folder
        self._sudo_prompt = f"[sudo {self._nonce}]"
        self._terminal = host.terminal(boot_script(spec, self._nonce), self._sudo_prompt)
        try:
            self._wait_until_ready(spec)
        except BaseException:
            self._terminal.close()
            raise

    def __enter__(self) -> Session:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """End the session and wait until the host has cleaned up.

        In the middle of a request the terminal is hung up instead.
        """
        if self._waiting:
            with contextlib.suppress(HostError):
                self._terminal.send(f"{self._nonce} bye\n".encode())
                self._terminal.drain(CLOSING)
        self._terminal.close()

    def request(
        self,
        script: str,
        *,
        answers: Iterable[tuple[str, str]] = (),
        on_record: Callable[[str, str], None] | None = None,
        on_output: Callable[[str], None] | None = None,
    ) -> Reply:
        """Run sh on the host and return its reply: one round trip.

        answers: patterns searched in an unfinished line, and what to type when one is found.
        on_record, on_output: called as records and lines of output arrive.
        Raises HostError when the connection or the host's shell is lost, StepError when a program
        stands at a prompt that no pattern matches or the reply makes no sense.
        """
        encoded = base64.b64encode(script.encode("utf-8", "surrogateescape"))
        self.round_trips += 1
        self._tail.clear()
        self._waiting = False
        try:
            self._terminal.send(f"{self._nonce} {len(encoded)}\n".encode() + encoded)
        except HostError:
            raise self._lost() from None
        records: list[tuple[str, str]] = []
        for kind, payload in self._records(list(answers), on_output):
            if kind == "end":
                self._waiting = True
                return Reply(_status(payload), records, "\n".join(self._tail))
            records.append((kind, payload))
            if on_record:
                on_record(kind, payload)
        raise self._lost()

    def _records(
        self,
        answers: Sequence[tuple[str, str | Callable[[], str]]],
        on_output: Callable[[str], None] | None = None,
        chatter: int | None = None,
        patience: float = math.inf,
    ) -> Iterator[tuple[str, str]]:
        """Yield records until the terminal ends; answer prompts on the way.

        chatter: bytes of output to put up with, if fewer than usual. patience: seconds to wait
        for the next record, or for what comes after an answer.
        """
        # What a program prints on a finished line is no question any more.
        patterns = [re.compile(rb"(?:%s)(?=[^\r\n]*\Z)" % p.encode()) for p, _ in answers]
        left = OUTPUT_LIMIT if chatter is None else chatter
        received = answered = 0
        end = time.monotonic() + patience
        while True:
            silence = min(DIALOGUE_SILENCE, max(0.0, end - time.monotonic())) if patterns else None
            index, text = self._terminal.expect(patterns, silence)
            if index is None:
                self._note(text, on_output)
                return
            if time.monotonic() > end:
                raise self._slow(text)
            if index == -1:
                # Silence alone is no question.
                if text.strip():
                    raise self._question(text)
                continue
            if index > 0:
                answered += 1
                if answered > ANSWERS_LIMIT:
                    raise self._endless("a program asks without end")
                reply = answers[index - 1][1]
                said = reply() if callable(reply) else reply
                self._terminal.send(f"{said}\n".encode("utf-8", "surrogateescape"))
                end = time.monotonic() + patience
                continue
            # A record may begin anywhere in a line, after output or after one that broke off.
            output, *parts = text.split(self._mark)
            self._note(output, on_output)
            left -= len(output)
            for part in parts:
                record = part.decode("ascii", "backslashreplace").rstrip()
                received += len(record) + RECORD_COST
                if received <= RECORDS_LIMIT:
                    kind, _, payload = record.partition(" ")
                    yield kind, payload
            if received > RECORDS_LIMIT or left < 0:
                raise self._endless("the host's reply does not end")

    def _endless(self, what: str) -> StepError:
        return StepError(
            what,
            where=self._host.name,
            output="\n".join(self._tail),
            hint="a login script or a broken tool on the host may answer without end",
        )

    def _slow(self, text: bytes) -> HostError:
        said = terminal_text(text[-2000:].decode(errors="backslashreplace"))
        return HostError(
            f"the host has not opened a session for {OPENING:.0f} seconds",
            where=self._host.name,
            output="\n".join([*self._tail, said]).strip(),
            hint="log in there once by hand: a shell must open, and sudo must answer",
        )

    def _question(self, text: bytes) -> RootwrightError:
        said = terminal_text(text[-2000:].decode(errors="backslashreplace"))
        if self.round_trips == 0:
            return PrivilegeError(
                "the host asks something before it gives us a shell",
                where=self._host.name,
                output=said,
                hint="log in there once by hand; a build needs a login and a sudo that ask for "
                "nothing but sudo's password",
            )
        return StepError(
            "a program asks something that nobody told us how to answer",
            where=self._host.name,
            output=said,
            hint="the module that runs it needs an Answer for this question",
        )

    def _note(self, output: bytes, on_output: Callable[[str], None] | None) -> None:
        if output == b"\n" and self._drawn:
            # It was not drawn over after all: its line end came in two pieces.
            self._tail.append(self._drawn)
        self._drawn = ""
        text = terminal_text(output[:2000].decode(errors="backslashreplace")).rstrip()
        if not text.strip():
            return
        # What a program draws over with a carriage return is for the live line alone.
        if output.endswith(b"\r"):
            self._drawn = text
        else:
            self._tail.append(text)
        if on_output:
            on_output(text)

    def _wait_until_ready(self, spec: SessionSpec) -> None:
        sudo = (re.escape(self._sudo_prompt), self._host.sudo_password)
        for kind, payload in self._records([sudo], chatter=CHATTER_LIMIT, patience=OPENING):
            if kind == "ready":
                self._waiting = True
                return
            if kind == "facts":
                self.folder, self.facts = self._facts(spec, decoded(payload))
            elif kind == "held":
                raise BusyError(
                    f"the root is held by another play: {harmless(decoded(payload)).strip()}",
                    where=f"{self._host.name}:{spec.folder}",
                    hint="wait for it, end it, or build elsewhere with --work-dir",
                )
            elif kind == "refused":
                raise PrivilegeError(
                    harmless(payload),
                    where=self._host.name,
                    output="\n".join(self._tail),
                    hint="choose another folder with --work-dir",
                )
        raise PrivilegeError(
            "the host did not open a session",
            where=self._host.name,
            output="\n".join(self._tail),
            hint="a build needs root or sudo, and the right to make mount and PID namespaces "
            "(unshare); `invoke doctor` looks closer",
        )

    def _facts(self, spec: SessionSpec, said: str) -> tuple[str, dict[str, str]]:
        folder, *values = said.split("\036")[:-1] or [""]
        if len(values) != len(spec.facts):
            raise StepError("the host's answer makes no sense", where=self._host.name)
        pairs = zip(spec.facts, values, strict=True)
        return folder, {name: value.strip() for (name, _), value in pairs}

    def _lost(self) -> HostError:
        return HostError(
            self._host.lost or "the session ended in the middle of a request",
            where=self._host.name,
            output="\n".join(self._tail),
            hint="nothing half-made is kept; play again to go on from what is there",
        )


def boot_script(spec: SessionSpec, nonce: str) -> str:
    """Return the sh that becomes the session on the host."""
    keeper = _compact(importlib.resources.files("rootwright").joinpath("session.sh").read_text())
    # All in one record: to encode each by itself would cost six processes a fact.
    facts = "".join(f"({script}\n)\nprintf '\\036'\n" for _, script in spec.facts)
    facts = f"printf '%s\\036' \"$rw_dir\"\n{facts}"
    facts = f'rw_say facts "$( {{\n{facts}:\n}} 2>/dev/null </dev/null | rw_encoded)"'
    # Not in the environment: no program on the host needs to know the session's secret.
    inner = f"rw_nonce={nonce} rw_dir=$1\n{keeper}\n{_compact(spec.vocabulary)}\n"
    inner += f"{facts}\nrw_serve"
    settings = {
        "rw_nonce": nonce,
        "rw_dir": spec.folder,
        "rw_check": "1" if spec.check else "0",
        "rw_who": spec.who,
        "rw_inner": inner,
    }
    lines = [f"{name}={shlex.quote(value)}" for name, value in settings.items()]
    return "\n".join([*lines, keeper, "rw_keep"])


def _compact(script: str) -> str:
    """Return sh without its comment lines and indentation: it travels at every start."""
    lines = (line.strip() for line in script.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("#"))


def _status(payload: str) -> int:
    status = whole_number(payload, 3)
    if status is None:
        raise _nonsense(payload)
    return status


def decoded(payload: str) -> str:
    """Return a text that the host sent in base64. Raises StepError where it is none."""
    try:
        return base64.b64decode(payload, validate=True).decode(errors="backslashreplace")
    except binascii.Error:
        raise _nonsense(payload) from None


def _nonsense(payload: str) -> StepError:
    return StepError(
        "the host's reply makes no sense",
        where=harmless(payload[:80]),
        hint="a login script, an alias or a broken tool on the host may add its own text",
    )
