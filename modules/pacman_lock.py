"""The lock that a pacman which was killed leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rootwright.module import Module
from rootwright.resource import Absent, Resource


@dataclass(frozen=True, kw_only=True)
class PacmanLock(Module):
    """Remove the lock of a pacman that died in the root.

    A play holds its root alone, so a lock in it belongs to nobody who lives. pacman itself never
    takes it away.
    Source: pacman(8), ``db.lck``.
    """

    on_host = "another pacman may be at work there: look, then remove /var/lib/pacman/db.lck"

    def resources(self) -> Iterator[Resource]:
        """Yield its absence."""
        yield Absent(("/var/lib/pacman/db.lck",))
