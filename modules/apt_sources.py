"""Where apt takes packages from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rootwright.module import Module, read_template
from rootwright.modules.debootstrap import (
    DEBIAN_KEYRING,
    check_components,
    check_mirror,
    check_suite,
)
from rootwright.resource import Absent, Resource, Template


@dataclass(frozen=True, kw_only=True)
class AptSource:
    """One archive.

    uri: its URL. suites, components: what to take from it.
    signed_by: the keyring in the root that holds the keys it may be signed with.
    """

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...] = ("main",)
    signed_by: str = DEBIAN_KEYRING

    def __str__(self) -> str:
        """The archive in one line, for the image's history."""
        return f"{self.uri} {' '.join(self.suites)} {' '.join(self.components)}"


@dataclass(frozen=True, kw_only=True)
class AptSources(Module):
    """Write apt's sources as one deb822 file, each with its Signed-By, and no other.

    entries: the archives, in the order in which apt asks them.
    filename: the file in /etc/apt/sources.list.d, which ends in ``.sources``.

    The old /etc/apt/sources.list goes; other files in sources.list.d stay.
    Source: sources.list(5); debuerreotype's debuerreotype-debian-sources-list.
    """

    entries: tuple[AptSource, ...]
    filename: str = "debian.sources"

    def resources(self) -> Iterator[Resource]:
        """Yield the file, and the absence of the old one."""
        if not re.fullmatch(r"[A-Za-z0-9_.-]+\.sources", self.filename):
            raise self.refuse(f"apt does not read a file named {self.filename!r}")
        if not self.entries:
            raise self.refuse("without an archive apt has no packages", "give at least one entry")
        where = f"module {self.name}"
        for entry in self.entries:
            check_mirror(entry.uri, where)
            check_components(entry.components, where)
            for suite in entry.suites:
                check_suite(suite, where)
            if not re.fullmatch(r"/[A-Za-z0-9/._+-]+", entry.signed_by) or not entry.suites:
                raise self.refuse(f"{entry} needs suites and the path of a keyring")
        yield Template(
            f"/etc/apt/sources.list.d/{self.filename}",
            read_template("debian.sources.j2"),
            values={"entries": self.entries},
        )
        yield Absent(("/etc/apt/sources.list",))
