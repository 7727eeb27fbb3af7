"""What a build leaves behind and no image needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rootwright.module import Module
from rootwright.resource import Absent, Resource

LEFTOVERS = (
    # apt's and dpkg's: lists and caches come back by themselves, logs and backups tell the time.
    "/var/cache/apt/*",
    "/var/cache/debconf/*-old",
    "/var/lib/apt/lists/*",
    "/var/lib/dpkg/*-old",
    "/var/lib/dpkg/lock",
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/triggers/Lock",
    "/var/log/alternatives.log",
    "/var/log/apt/*",
    "/var/log/bootstrap.log",
    "/var/log/dpkg.log",
    # pacman's.
    "/var/cache/pacman/pkg/*",
    "/var/lib/pacman/sync/*",
    "/var/log/pacman.log",
    # ldconfig's memory of inode numbers, and systemd's index, which it writes again.
    "/var/cache/ldconfig/aux-cache",
    "/var/lib/systemd/catalog/database",
    # Copies that tools make of the lists of users and groups before each change.
    "/etc/.pwd.lock",
    "/etc/group-",
    "/etc/gshadow-",
    "/etc/passwd-",
    "/etc/shadow-",
    "/etc/subgid-",
    "/etc/subuid-",
)
"""Paths, with wildcards, that differ from build to build or can be had again."""


@dataclass(frozen=True, kw_only=True)
class Prune(Module):
    """Remove logs, caches, package lists and backup copies.

    keep: one pattern, matched over the whole path, of what is to stay, such as ``*.log``.

    Put it last. Source: debuerreotype's debuerreotype-fixup and .tar-exclude; archlinux-docker's
    exclude.
    """

    on_host = "a host's logs and caches are its own affair"

    keep: str = ""

    def resources(self) -> Iterator[Resource]:
        """Yield the absence of it all."""
        yield Absent(LEFTOVERS, keep=self.keep)
