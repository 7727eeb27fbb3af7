"""The users and groups that packages ask for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rootwright.module import Module
from rootwright.resource import Command, Resource

_MISSING = """
sed -n 's/^[ug]!* *"*\\([^ "]*\\)"* .*/\\1/p' /usr/lib/sysusers.d/*.conf |
while read -r name; do
    case $name in *%*) continue ;; esac
    grep -q "^$name:" /etc/group || echo "$name"
done
"""


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
            # Every user has a group of the same name, so groups alone need be looked for.
            unless=f'! command -v systemd-sysusers || [ -z "$({_MISSING})" ]',
            reads=("/usr/lib/sysusers.d", "/etc/group", "/usr/bin/systemd-sysusers"),
            writes=tuple(f"/etc/{name}{old}" for name in _LISTS for old in ("", "-")),
        )


_LISTS = ("passwd", "group", "shadow", "gshadow")
