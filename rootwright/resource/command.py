"""Commands that know whether they are needed, and the one that makes a root from nothing."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from rootwright.errors import UsageError
from rootwright.resource.base import (
    WHOLE_ROOT,
    Answer,
    Change,
    Resource,
    State,
    quote,
    root_path,
    text_or_none,
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Command(Resource):
    """A command that brings about a state which its guard can see.

    name: what it does, in two or three words; also the name of its stamp.
    run: sh, run with ``-eu`` inside the root (chroot, its own mounts and processes), or on the
        host with ``inside=False``, where ``$rw_root`` is the root's folder.
    Exactly one guard:
        creates: a path in the root that the command makes.
        unless: sh that succeeds when there is nothing to do; run in the root, reading only.
        stamp: a text recorded after success; the command is needed while another text, or none,
            is recorded. A readable text makes a readable diff.
    reads, writes: paths in the root that decide the guard and that the command may alter; by
        default anything, which makes every later resource be looked at again.
    answers: the dialogue, when the program asks questions; a question that no pattern matches is
        an error. Without it the command gets no input.
    env: further environment variables.
    """

    name: str
    run: str
    creates: str = ""
    unless: str = ""
    stamp: str = ""
    inside: bool = True
    reads: tuple[str, ...] = WHOLE_ROOT
    writes: tuple[str, ...] = WHOLE_ROOT
    answers: tuple[Answer, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a command that cannot tell whether it is needed."""
        if sum(map(bool, (self.creates, self.unless, self.stamp))) != 1:
            raise UsageError(
                "a command needs exactly one guard",
                where=f"command {self.name}",
                hint="say creates=PATH, unless=SCRIPT or stamp=TEXT, so that it can tell "
                "whether it is needed",
            )
        if self.stamp and not _NAME.fullmatch(self.stamp_name):
            raise UsageError("a stamped command needs a plain name", where=f"command {self.name}")
        if self.creates:
            root_path(self.creates, f"command {self.name}")
        for variable in self.env:
            if not _VARIABLE.fullmatch(variable):
                raise UsageError(f"{variable!r} is no variable name", where=self.label)

    @property
    def label(self) -> str:
        """The name."""
        return f"command {self.name}"

    @property
    def stamp_name(self) -> str:
        """The stamp's file name."""
        return self.name.replace(" ", "-")

    def probe(self) -> str:
        """Ask the guard."""
        if self.stamp:
            return f"printf 'stamp=%s' \"$({quote('rw_stamp', self.stamp_name)})\""
        return f"if {self._guard()}; then printf done=1; else printf done=0; fi"

    def _guard(self) -> str:
        if self.creates:
            return f"{quote('rw_at', self.creates)} && rw_exists"
        if self.unless:
            return quote("rw_guard", self.unless)
        return f'[ "$({quote("rw_stamp", self.stamp_name)})" = {quote(_encode(self.stamp))} ]'

    def compare(self, state: State) -> Change | None:
        """Needed, or not."""
        if not self.stamp:
            return None if state.number("done") else Change(f"run: {_first_line(self.run)}")
        recorded = state.blob("stamp") or b""
        if recorded == _blob(self.stamp):
            return None
        before = text_or_none(recorded) or ""
        return Change(f"run: {_first_line(self.run)}", before, self.stamp)

    def replay(self, root: str) -> str:
        """The script, as it runs in the root, with what it is given."""
        given = [f"{k}={v}" for k, v in self.env.items()]
        if root and not self.inside:
            given.append(f"rw_root={root}")
        shell = ["chroot", root, "/bin/sh"] if root and self.inside else ["sh"]
        return quote(*(["env", *given] if given else []), *shell, "-euc", self.run)

    def converge(self) -> str:
        """Ask again, then run, then record."""
        given = [f"{k}={v}" for k, v in self.env.items()]
        if self.inside:
            action = quote("rw_inside", self.run, *given)
        else:
            # rw_* stay visible: the script works on the root from outside.
            exports = f"export {quote(*given)}\n" if given else ""
            action = f"(\nset -eu\n{exports}{self.run}\n)"
        if not self.answers:
            action += " </dev/null"
        record = f"printf %s {quote(_encode(self.stamp))} | base64 -d | "
        record += quote("rw_stamped", self.stamp_name)
        lines = [f"if {self._guard()}; then exit 0; fi", action, *([record] if self.stamp else [])]
        return "\n".join(lines)


@dataclass(frozen=True)
class Bootstrap(Command):
    """The command that makes the root itself, from nothing, or anew when its stamp changed.

    ``run`` works on the host, fills the folder ``$rw_root`` and may record the date of what it
    installed, in seconds since 1970, in ``$rw_state/epoch``. It works under a temporary name: only
    a whole root takes the place of the one before.
    """

    inside: bool = False

    def __post_init__(self) -> None:
        """Only a stamp can tell one root from another."""
        super().__post_init__()
        if not self.stamp or self.inside:
            raise UsageError("a bootstrap runs on the host and has a stamp", where=self.label)

    @property
    def label(self) -> str:
        """The name."""
        return f"bootstrap {self.name}"

    def replay(self, _root: str) -> str:
        """Nothing short enough to type: the output says what failed."""
        return ""

    def converge(self) -> str:
        """Make a new root beside the old one, then swap."""
        given = [f"{k}={v}" for k, v in self.env.items()]
        script = (f"export {quote(*given)}\n" if given else "") + f"set -eu\n{self.run}"
        if not self.answers:
            script = f"exec </dev/null\n{script}"
        stamp = quote(_encode(self.stamp))
        return f"rw_wanted={stamp}\n{quote('rw_bootstrap', self.stamp_name, script)}"


def _encode(text: str) -> str:
    return base64.b64encode(_blob(text)).decode()


def _blob(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _first_line(script: str) -> str:
    lines = script.strip().splitlines()
    return lines[0] + (" …" if len(lines) > 1 else "") if lines else ""
