"""The dynamic linker's cache."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rootwright.module import Module
from rootwright.resource import Command, Resource

CACHE = "/etc/ld.so.cache"


@dataclass(frozen=True, kw_only=True)
class Ldconfig(Module):
    """Bring the dynamic linker's cache up to date.

    It is when no folder of libraries, nor what names such folders, has changed since. ldconfig's
    own memory of inodes is not kept: it differs from build to build.
    Source: ldconfig(8).
    """

    def resources(self) -> Iterator[Resource]:
        """Yield the cache."""
        named = "sed -n 's|^/|/|p' /etc/ld.so.conf /etc/ld.so.conf.d/*.conf"
        sources = "/usr/lib /usr/local/lib /etc/ld.so.conf /etc/ld.so.conf.d"
        yield Command(
            "ldconfig",
            "ldconfig\nrm -f /var/cache/ldconfig/aux-cache",
            unless=f'[ -s {CACHE} ] && [ -z "$(find {sources} $({named}) '
            f'-maxdepth 0 -newer {CACHE})" ]',
            reads=(CACHE, "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/usr/lib/*.so*"),
            writes=(CACHE, "/var/cache/ldconfig"),
        )
