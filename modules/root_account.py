"""The root account of an image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rootwright.module import Module
from rootwright.resource import Command, Resource


@dataclass(frozen=True, kw_only=True)
class RootAccount(Module):
    """Lock the root account: no password opens it.

    An empty password, which Arch's base system has, would let anyone in who finds a way to ask.
    Who starts a container is root in it all the same.
    Source: shadow(5); archlinux-docker's make-rootfs.sh.
    """

    on_host = "it could shut out whoever looks after the host; lock it there by hand"

    def resources(self) -> Iterator[Resource]:
        """Yield the lock."""
        yield Command(
            "lock root",
            "usermod --password '*' root",
            unless="""awk -F: '$1 == "root" && $2 !~ /^[!*]/ { open = 1 } END { exit open }' """
            "/etc/shadow",
            reads=("/etc/shadow",),
            writes=("/etc/passwd", "/etc/passwd-", "/etc/shadow", "/etc/shadow-"),
        )
