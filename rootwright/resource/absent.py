"""What must not be there."""

from __future__ import annotations

from dataclasses import dataclass

from rootwright.errors import UsageError
from rootwright.resource.base import Change, Resource, State, quote, root_path, text_or_none


@dataclass(frozen=True)
class Absent(Resource):
    """No path in the root matches these patterns.

    patterns: paths, with the shell's wildcards (``*`` does not match a leading dot). What a
        wildcard leads to through a symbolic link is left alone, and so is what is mounted.
    keep: one such pattern, matched over the whole path (its ``*`` matches ``/`` too); what it
        matches stays.
    """

    patterns: tuple[str, ...]
    keep: str = ""

    def __post_init__(self) -> None:
        """Check every pattern as a path."""
        if isinstance(self.patterns, str) or not self.patterns:
            raise UsageError("Absent takes a tuple of patterns", where=repr(self.patterns))
        clean = tuple(root_path(pattern, "Absent") for pattern in self.patterns)
        object.__setattr__(self, "patterns", clean)

    @property
    def label(self) -> str:
        """The patterns."""
        return "absent " + " ".join(self.patterns)

    @property
    def reads(self) -> tuple[str, ...]:
        """The patterns."""
        return self.patterns

    @property
    def writes(self) -> tuple[str, ...]:
        """The patterns."""
        return self.patterns

    def probe(self) -> str:
        """Count the matches and name the first."""
        return quote("rw_probe_absent", self.keep, *self.patterns)

    def compare(self, state: State) -> Change | None:
        """Want none."""
        count = state.number("count")
        if not count:
            return None
        names = text_or_none(state.blob("b64")) or ""
        listed = names.count("\n")
        more = f"… and {count - listed} more\n" if count > listed else ""
        return Change(f"remove {count} path{'s' if count > 1 else ''}", names + more, "")

    def converge(self) -> str:
        """Remove what matches, never across a mount."""
        return quote("rw_absent", self.keep, *self.patterns)
