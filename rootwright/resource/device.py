"""Device nodes and FIFOs."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import Literal

from rootwright.errors import StepError, UsageError
from rootwright.resource.base import Change, PathResource, State, quote, refuse_escape
from rootwright.resource.files import check_mode

_TYPES = {"c": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}


@dataclass(frozen=True)
class Device(PathResource):
    """A device node or FIFO.

    kind: ``c`` (character), ``b`` (block) or ``p`` (FIFO, whose major and minor are 0).
    major, minor: the device's numbers, as Linux's devices.txt lists them.

    Where even root may not make one (a container), it is recorded beside the root: a device in a
    layer is a header only, so the image has it all the same.
    """

    kind: Literal["c", "b", "p"]
    major: int = 0
    minor: int = 0
    mode: int = 0o666
    owner: int = 0
    group: int = 0

    def __post_init__(self) -> None:
        """Check the kind and the mode."""
        super().__post_init__()
        check_mode(self.mode, self.path)
        if self.kind not in _TYPES or any(map(str.isspace, self.path)):
            raise UsageError(f"{self.kind!r} is no kind of device", where=self.path, hint="c, b, p")

    @property
    def _record(self) -> str:
        numbers = f"{self.kind}:{self.major}:{self.minor}"
        return f"{numbers}:{self.mode:o}:{self.owner}:{self.group}"

    def probe(self) -> str:
        """See kind, numbers, mode and ownership, or the record."""
        return quote("rw_probe_device", self.path)

    def compare(self, state: State) -> Change | None:
        """Compare them."""
        refuse_escape(self, state)
        if not state.exists and state.fields.get("record") == self._record:
            return None
        if state.is_a(stat.S_IFDIR):
            raise StepError(
                f"{self.path} is a folder where a device is wanted",
                where=self.label,
                hint="remove it first, with Absent, if it may go",
            )
        wanted = f"{self.kind} {self.major},{self.minor} {self.mode:04o} {self.owner}:{self.group}"
        numbers = f"{self.major:x}:{self.minor:x}"
        same = (
            state.is_a(_TYPES[self.kind])
            and (self.kind == "p" or state.fields.get("rdev") == numbers)
            and state.permissions == self.mode
            and state.owner == (self.owner, self.group)
        )
        return None if same else Change(f"{state.describe()} → {wanted}")

    def converge(self) -> str:
        """Make the node, or record it."""
        numbers = (self.major, self.minor)
        mode = f"{self.mode:o}"
        return quote("rw_device", self.path, self.kind, *numbers, mode, self.owner, self.group)
