"""The users and groups that packages ask for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rootwright.module import Module
from rootwright.resource import Command, Resource

MISSING = """
awk '{ gsub(/"/, "", $2) }
    $2 ~ /%/ { next }
    $1 ~ /^u[!-]*$/ { print "passwd", $2 }
    $1 ~ /^g[!-]*$/ { print "group", $2 }' /usr/lib/sysusers.d/*.conf |
while read -r list name; do grep -q "^$name:" "/etc/$list" || echo "$name"; done
"""
"""Prints those of them that there are not."""


@dataclass(frozen=True, kw_only=True)
class Sysusers(Module):
    """Have the system users and groups that packages declare in /usr/lib/sysusers.d.

    Where there is no systemd-sysusers, nothing is done: then packages make users themselves.
    Source: sysusers.d(5), systemd-sysusers(8).
    """

    def resources(self) -> Iterator[Resource]:
        """Yield the users."""
        yield Command(
            "system users",
            "systemd-sysusers",
            unless=f'! command -v systemd-sysusers || [ -z "$({MISSING})" ]',
            reads=(
                *("/usr/lib/sysusers.d", "/etc/passwd", "/etc/group"),
                "/usr/bin/systemd-sysusers",
            ),
            writes=tuple(f"/etc/{name}{old}" for name in _LISTS for old in ("", "-")),
        )


_LISTS = ("passwd", "group", "shadow", "gshadow")
