"""Every error a person can meet: one family, each with what happened, where, and what to do.

The class decides the exit code; the instance carries the words. Nothing in this package prints
an error or exits: `rootwright.cli` does both, once, at the edge.
"""

from __future__ import annotations

_LONGEST = 1000
"""Characters of a sentence that a reader gets whole: it may quote any value that was refused."""


def _readable(text: str) -> str:
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]} … {text[-half:]}"


class RootwrightError(Exception):
    """Base of the family: a step failed.

    what: one sentence saying what happened.
    where: the file and key, host, module or path it happened at; may be empty.
    hint: what the reader can do about it; may be empty.
    command: the failing command as one can replay it; may be empty.
    output: the last lines the command printed, already harmless to a terminal; may be empty.
    """

    exit_code = 1

    def __init__(
        self, what: str, *, where: str = "", hint: str = "", command: str = "", output: str = ""
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint
        self.command = command
        self.output = output

    def lines(self) -> list[str]:
        """Return the error as the lines a reader sees, the first beginning with ``error:``."""
        lines = [f"error: {_readable(self.what)}"]
        if self.where:
            lines.append(f"  where: {_readable(self.where)}")
        if self.command:
            lines.append(f"  command: {self.command}")
        if self.output:
            lines.append("  output:")
            lines.extend(f"    {line}" for line in self.output.splitlines())
        if self.hint:
            lines.append(f"  hint: {_readable(self.hint)}")
        return lines

    def as_dict(self) -> dict[str, str]:
        """Return the error as the ``error`` object of the JSON report, empty fields left out."""
        fields = {
            "what": self.what,
            "where": self.where,
            "hint": self.hint,
            "command": self.command,
            "output": self.output,
        }
        return {"type": type(self).__name__} | {k: v for k, v in fields.items() if v}


class StepError(RootwrightError):
    """A module could not make its state, or what it made is not what was asked for."""


class UsageError(RootwrightError):
    """The command line, a playbook or a module was given something it cannot take."""

    exit_code = 2


class InventoryError(UsageError):
    """The inventory cannot be read, or says something that makes no sense."""


class HostError(RootwrightError):
    """A host is unreachable, or refused us."""

    exit_code = 3


class HostKeyError(HostError):
    """A host's key is unknown, or is not the one that was known."""


class PrivilegeError(HostError):
    """The host gave us a shell but not the rights that a build needs."""


class BusyError(HostError):
    """Another play holds the root."""


class ShipError(RootwrightError):
    """The image did not reach its destination; nothing was named or moved there."""

    exit_code = 4


class Interrupted(RootwrightError):
    """The person at the keyboard stopped it."""

    exit_code = 130
