"""What an image says it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rootwright.module import Module
from rootwright.resource import Command, Line, Resource, Symlink

FILE = "/usr/lib/os-release"

_NEWEST = (
    "version=$(date -u +%Y%m%d -d @\"$(awk '"
    'last == "%BUILDDATE%" && $1 > newest { newest = $1 } { last = $0 } END { print newest }'
    "' /var/lib/pacman/local/*/desc)\")"
)
"""sh that sets version to the day on which the newest of pacman's packages was built."""


@dataclass(frozen=True, kw_only=True)
class OsRelease(Module):
    """Say in os-release which version of a rolling distribution the image is.

    version: VERSION_ID; empty takes the day on which the newest package was built, as in
        ``20240131``. That asks pacman's database.
    Source: os-release(5); archlinux-docker's ``Dockerfile.template``.
    """

    on_host = "a host is the version that its packages say"

    version: str = ""

    def resources(self) -> Iterator[Resource]:
        """Yield the line, and the link by which programs find the file."""
        yield Symlink("/etc/os-release", "../usr/lib/os-release")
        if self.version:
            if not re.fullmatch("[a-z0-9._-]+", self.version):
                raise self.refuse(
                    f"{self.version!r} is no VERSION_ID",
                    "lower-case letters, digits and '._-', such as 20240131",
                )
            yield Line(FILE, f"VERSION_ID={self.version}", match="^VERSION_ID=")
            return
        yield Command(
            "version",
            # Written in place: a file that is replaced makes its folder newer than ld.so.cache.
            f"# VERSION_ID, from the newest package\n{_NEWEST}\n"
            f"others=$(grep -v '^VERSION_ID=' {FILE})\n"
            f'printf \'%s\\nVERSION_ID=%s\\n\' "$others" "$version" >{FILE}',
            unless=f'{_NEWEST}\ngrep -qx "VERSION_ID=$version" {FILE}',
            reads=(FILE, "/var/lib/pacman/local"),
            writes=(FILE,),
        )
