"""The number by which a machine is told from all others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rootwright.module import Module
from rootwright.resource import Absent, File, Resource


@dataclass(frozen=True, kw_only=True)
class MachineId(Module):
    """Leave no machine ID in the root, so that no two machines made from it share one.

    state: ``absent`` (as in Debian's own image: systemd counts the first boot as one), ``empty``
        (made at boot, and kept where the file can be written) or ``uninitialized`` (as ``absent``,
        for roots that are read-only at boot).

    Source: machine-id(5).
    """

    on_host = "a running machine has one, and its logs and leases go by it"

    state: Literal["absent", "empty", "uninitialized"] = "absent"

    def resources(self) -> Iterator[Resource]:
        """Yield the file or its absence, and the absence of D-Bus's copy."""
        if self.state not in ("absent", "empty", "uninitialized"):
            raise self.refuse(f"{self.state!r} is no state of a machine ID", "say absent or empty")
        if self.state == "absent":
            yield Absent(("/etc/machine-id",))
        else:
            content = "" if self.state == "empty" else "uninitialized\n"
            yield File("/etc/machine-id", content, 0o444)
        yield Absent(("/var/lib/dbus/machine-id",))
