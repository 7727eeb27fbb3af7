"""Packages, by whichever package manager the root has."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rootwright.module import Module, read_template
from rootwright.resource import Command, Resource, quote

FAMILIES = ("apt", "pacman")

_NAME = re.compile(r"[A-Za-z0-9@_][A-Za-z0-9@._+-]*(:[a-z0-9]+)?")


@dataclass(frozen=True, kw_only=True)
class Packages(Module):
    """Have packages installed, through apt or pacman, whichever the root goes by.

    names: the packages; or, where the names differ, a mapping of ``apt`` and ``pacman`` to them.

    Nothing is upgraded, and nothing removed that leaves the list. Lists of packages are fetched
    only where a package cannot be had without. Recommended packages are not installed, questions
    not asked, configuration files kept. In an image with apt, put PolicyRcD before it, so that no
    daemon is started.

    Source: apt-get(8), pacman(8).
    """

    names: tuple[str, ...] | Mapping[str, tuple[str, ...]]

    def resources(self) -> Iterator[Resource]:
        """Yield the installation."""
        families = (
            self.names if isinstance(self.names, Mapping) else dict.fromkeys(FAMILIES, self.names)
        )
        unknown = sorted(set(families) - set(FAMILIES))
        if unknown or not families:
            raise self.refuse(f"no package manager {unknown}", f"say {' or '.join(FAMILIES)}")
        lines = []
        for family in FAMILIES:
            names = sorted(set(families.get(family, ())))
            for name in names:
                if not _NAME.fullmatch(name):
                    raise self.refuse(f"{name!r} is no package's name", "something like curl")
            lines.append(f"pk_{family}={quote(' '.join(names))}")
        given = "\n".join(lines)
        shown = " ".join(sorted({name for names in families.values() for name in names}))
        if not shown:
            return
        common = read_template("packages.sh")
        yield Command(
            "packages",
            f"# install {shown}\n{given}\n{common}\npk_install",
            unless=f"{given}\n{common}\npk_all_installed",
            reads=("/var/lib/dpkg", "/var/lib/pacman/local", "/etc/os-release"),
        )
