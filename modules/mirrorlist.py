"""Where pacman gets its packages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rootwright.errors import UsageError
from rootwright.module import Module
from rootwright.resource import Directory, File, Resource

LAYOUT = "/$repo/os/$arch"
"""How Arch's mirrors lay out their repositories."""

_URL = re.compile(r"(https?|ftp|file)://[^\s#\\\"']+")


def server(url: str) -> str:
    """Return pacman's ``Server`` for a mirror, with Arch's layout where ``$repo`` is not named.

    Raises UsageError for what is no URL.
    """
    if not _URL.fullmatch(url):
        raise UsageError(
            f"{url!r} is not the URL of a mirror",
            hint="such as https://mirror.example.org/archlinux",
        )
    return url if "$repo" in url else url.rstrip("/") + LAYOUT


def servers(urls: Sequence[str]) -> tuple[str, ...]:
    """Return the servers of several mirrors. Raises UsageError when there are none."""
    if not urls:
        raise UsageError("pacman needs at least one mirror", hint="give its URL")
    return tuple(server(url) for url in urls)


@dataclass(frozen=True, kw_only=True)
class Mirrorlist(Module):
    """Write /etc/pacman.d/mirrorlist.

    urls: mirrors in order of preference; ``/$repo/os/$arch`` is appended where ``$repo`` is
        not named.
    Source: pacman.conf(5), "Repository sections".
    """

    urls: tuple[str, ...]

    def resources(self) -> Iterator[Resource]:
        """Yield the file and its folder."""
        lines = "".join(f"Server = {server}\n" for server in servers(self.urls))
        yield Directory("/etc/pacman.d")
        yield File("/etc/pacman.d/mirrorlist", lines)
