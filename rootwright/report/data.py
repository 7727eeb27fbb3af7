"""What a run came to, as plain data; the field names of the JSON report are a contract."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from rootwright.errors import RootwrightError
from rootwright.report.mask import Masker

State = Literal["ok", "changed", "would change", "skipped", "failed"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True)
class ChangeReport:
    """One change to one resource, made or planned.

    resource: what it is of; a path inside the root for what has one.
    summary: one line saying what the change does.
    before, after: the contents compared by ``--diff``; None where there is nothing, or nothing
    that can be shown as text.
    depends_on: the module after whose change this one was planned, or None.
    """

    resource: str
    summary: str
    before: str | None = None
    after: str | None = None
    depends_on: str | None = None

    def as_dict(self) -> dict[str, object]:
        """Return the change as an entry of ``changes`` in the JSON report."""
        return {
            "resource": self.resource,
            "summary": self.summary,
            "before": self.before,
            "after": self.after,
            "depends_on": self.depends_on,
        }


@dataclass(frozen=True)
class ModuleReport:
    """What became of one module.

    seconds: how long it took. note: a remark for the console, such as why it was skipped.
    """

    name: str
    state: State
    seconds: float
    changes: Sequence[ChangeReport] = ()
    note: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return the module as an entry of ``modules`` in the JSON report."""
        return {
            "name": self.name,
            "state": self.state,
            "seconds": round(self.seconds, 3),
            "changes": [change.as_dict() for change in self.changes],
        }


@dataclass(frozen=True)
class ImageReport:
    """What became of the image.

    id: the image's ID, ``sha256:…``. digest: the layer's. Both empty while unknown (``--check``).
    size: the bytes it takes where it is, as an engine counts them, or a file's length. sent_bytes:
    bytes of the layer that went out, 0 when it was there already.
    tags: the names it has now. note: a remark for the console.
    """

    id: str
    digest: str
    size: int
    tags: Sequence[str]
    sent_bytes: int
    state: State
    note: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return the image as ``image`` of the JSON report."""
        return {
            "id": self.id,
            "digest": self.digest,
            "size": self.size,
            "tags": list(self.tags),
            "sent_bytes": self.sent_bytes,
            "state": self.state,
        }


@dataclass(frozen=True)
class HostReport:
    """What became of one play.

    error: what ended it early, or None. seconds: the whole play, connecting included.
    round_trips: the requests that looking and changing took; connecting, and what shipping asks,
    are not counted.
    """

    host: str
    modules: Sequence[ModuleReport] = ()
    image: ImageReport | None = None
    error: RootwrightError | None = None
    seconds: float = 0.0
    round_trips: int = 0

    def _count(self, state: State) -> int:
        return sum(module.state == state for module in self.modules)

    @property
    def ok(self) -> int:
        """How many modules were as they should be."""
        return self._count("ok")

    @property
    def changed(self) -> int:
        """How many modules were changed."""
        return self._count("changed")

    @property
    def would_change(self) -> int:
        """How many modules would have been changed, had it not been a check."""
        return self._count("would change")

    @property
    def skipped(self) -> int:
        """How many modules did not apply."""
        return self._count("skipped")

    @property
    def failed(self) -> int:
        """How many modules failed."""
        return self._count("failed")

    @property
    def exit_code(self) -> int:
        """The exit code this play alone would give (0 when all went well)."""
        if self.error is not None:
            return self.error.exit_code
        return 1 if self.failed else 0

    def summary(self) -> dict[str, object]:
        """Return the counts, seconds and round trips, under their names in the JSON report."""
        return {
            "host": self.host,
            "ok": self.ok,
            "changed": self.changed,
            "would_change": self.would_change,
            "skipped": self.skipped,
            "failed": self.failed,
            "seconds": round(self.seconds, 3),
            "round_trips": self.round_trips,
        }

    def as_dict(self) -> dict[str, object]:
        """Return the play as an entry of ``hosts`` in the JSON report."""
        return self.summary() | {
            "modules": [module.as_dict() for module in self.modules],
            "image": self.image.as_dict() if self.image else None,
            "error": self.error.as_dict() if self.error else None,
        }


@dataclass(frozen=True)
class RunReport:
    """What became of one command: a playbook played on one host or several.

    options: the playbook's options as they were used, those that are the same on all hosts; secrets
    are hidden on the way out.
    """

    playbook: str
    options: Mapping[str, object] = field(default_factory=dict)
    hosts: Sequence[HostReport] = ()

    @property
    def exit_code(self) -> int:
        """The exit code of the command: the highest of its plays', so an interrupt wins."""
        return max((host.exit_code for host in self.hosts), default=0)

    def as_dict(self) -> dict[str, object]:
        """Return the run as the object of the JSON report, with nothing hidden yet."""
        return {
            "playbook": self.playbook,
            "options": dict(self.options),
            "hosts": [host.as_dict() for host in self.hosts],
        }

    def to_json(self, masker: Masker | None = None) -> str:
        """Return the ``--json`` report, in ASCII, without a final newline.

        masker: the secrets to hide in it.
        """
        return json_text((masker or Masker()).data(self.as_dict(), frozenset(STATES)), indent=2)


def json_text(value: object, indent: int | None = None) -> str:
    """Return value as JSON that no terminal takes for anything but text.

    json escapes all of Unicode and C0, but leaves DEL as it is.
    """
    return json.dumps(value, indent=indent).replace("\x7f", "\\u007f")
