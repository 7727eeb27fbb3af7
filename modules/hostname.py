"""The machine's name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rootwright.module import Module
from rootwright.resource import File, Resource

# RFC 1123, section 2.1: letters, digits and hyphens, in labels of up to 63 characters.
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"


@dataclass(frozen=True, kw_only=True)
class Hostname(Module):
    """Write /etc/hostname.

    hostname: labels of letters, digits and hyphens with dots between them, 64 characters at most.

    A running host takes it at its next boot; a container gets its own from its engine.
    Source: hostname(5), RFC 1123.
    """

    hostname: str

    def resources(self) -> Iterator[Resource]:
        """Yield the file."""
        if not re.fullmatch(rf"{_LABEL}(\.{_LABEL})*", self.hostname) or len(self.hostname) > 64:
            raise self.refuse(f"{self.hostname!r} is no host name", "something like debian")
        yield File("/etc/hostname", f"{self.hostname}\n")
