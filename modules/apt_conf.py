"""What Debian's own image tells apt and dpkg."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rootwright.module import Module, read_template
from rootwright.resource import File, Resource

FILES = {
    "/etc/apt/apt.conf.d/docker-autoremove-suggests": "docker-autoremove-suggests",
    "/etc/apt/apt.conf.d/docker-clean": "docker-clean",
    "/etc/apt/apt.conf.d/docker-gzip-indexes": "docker-gzip-indexes",
    "/etc/apt/apt.conf.d/docker-no-languages": "docker-no-languages",
    "/etc/dpkg/dpkg.cfg.d/docker-apt-speedup": "docker-apt-speedup",
}
"""Paths in the root, and the templates that hold their contents."""


@dataclass(frozen=True, kw_only=True)
class AptConf(Module):
    """Configure apt and dpkg for images, with the very files of Debian's own.

    Packages and caches are deleted after each use, lists are kept compressed and without
    translations, what was only suggested is removed with what suggested it, and dpkg does not wait
    for the disk.

    Source: debuerreotype's debuerreotype-minimizing-config.
    """

    on_host = "dpkg would not wait for the disk, which only a machine that is thrown away can bear"

    def resources(self) -> Iterator[Resource]:
        """Yield the five files."""
        for path, template in FILES.items():
            yield File(path, read_template(template))
