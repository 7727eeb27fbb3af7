"""A mirror that has been made: where its files are, and what is in it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from rootwright.sample_mirror.keys import Keys
from rootwright.sample_mirror.packages import REPOSITORIES

Shape = Literal["package", "group"]
"""What ``base`` is: a package that depends on its members, as since 2019, or a group of them."""

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Published:
    """One package that the mirror offers; size is that of the file, in bytes."""

    name: str
    version: str
    repo: str
    filename: str
    size: int
    depends: tuple[str, ...]
    groups: tuple[str, ...]


@dataclass(frozen=True)
class SampleMirror:
    """A signed mirror on disk, laid out as ``$repo/os/$arch`` below `served`.

    folder: what is this mirror's own: the served tree and its manifest.
    keyring: the folder with ``archlinux.gpg``, ``archlinux-trusted`` and ``archlinux-revoked``.
    keys: the private keys; outside of `served`.
    architecture: pacman's name of it, such as ``x86_64``.
    """

    folder: Path
    keyring: Path
    keys: Keys
    base_as: Shape
    architecture: str
    packages: Mapping[str, Published]

    @property
    def served(self) -> Path:
        """Return the tree to serve, and nothing but what may be served."""
        return self.folder / "served"

    @property
    def server(self) -> str:
        """Return the value of pacman's ``Server`` that reads the tree from this disk."""
        return f"file://{self.served.resolve()}/$repo/os/$arch"

    def directory(self, repo: str) -> Path:
        """Return the folder of the repository `repo`."""
        return self.served / repo / "os" / self.architecture

    def path(self, name: str) -> Path:
        """Return the file of the package called `name`. Raises KeyError for one it has not got."""
        package = self.packages[name]
        return self.directory(package.repo) / package.filename

    def complete(self) -> bool:
        """Say whether every file is where it belongs and has its size."""
        try:
            sizes = {name: self.path(name).stat().st_size for name in self.packages}
            return (
                all(size == self.packages[name].size for name, size in sizes.items())
                and all((self.directory(repo) / f"{repo}.db.sig").exists() for repo in REPOSITORIES)
                and self.keyring.is_dir()
            )
        except OSError:
            return False

    def closure(self, names: Iterable[str]) -> list[str]:
        """Return the packages that installing `names` brings in, themselves included, sorted.

        A name may be that of a group.
        """
        waiting, found = list(names), set[str]()
        while waiting:
            name = waiting.pop()
            members = [p.name for p in self.packages.values() if name in p.groups]
            if members:
                waiting += members
            elif name not in found:
                found.add(name)
                waiting += self.packages[name].depends
        return sorted(found)


def save(mirror: SampleMirror, inputs: str, lists: str) -> None:
    """Write the manifest of `mirror`.

    inputs: a digest of all that it was made from.
    lists: a fingerprint of apt's lists at the time; see `read`.
    """
    record = {
        "inputs": inputs,
        "lists": lists,
        "base_as": mirror.base_as,
        "architecture": mirror.architecture,
        "packages": [asdict(package) for package in mirror.packages.values()],
    }
    partial = mirror.folder / (MANIFEST + ".partial")
    partial.write_text(json.dumps(record, indent=1) + "\n")
    partial.replace(mirror.folder / MANIFEST)


@dataclass(frozen=True)
class Saved:
    """A mirror found on disk, with the two marks it was saved with."""

    mirror: SampleMirror
    inputs: str
    lists: str


def load(folder: Path, keyring: Path, keys: Keys) -> Saved | None:
    """Return the mirror in `folder`, or None where there is none that this code wrote."""
    try:
        record = json.loads((folder / MANIFEST).read_text())
        packages = {
            entry["name"]: Published(
                **{**entry, "depends": tuple(entry["depends"]), "groups": tuple(entry["groups"])}
            )
            for entry in record["packages"]
        }
        mirror = SampleMirror(
            folder, keyring, keys, record["base_as"], record["architecture"], packages
        )
        return Saved(mirror, record["inputs"], record["lists"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
