"""Mirrors with something wrong, and mirrors with something newer: copies, for tests.

Each function takes a mirror and an empty place for a copy of it, and returns the copy, changed.
The mirror itself is never touched: a copy shares its files through hard links, and what changes
is written anew and renamed into place.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

from rootwright.errors import StepError
from rootwright.sample_mirror.database import add
from rootwright.sample_mirror.mirror import SampleMirror
from rootwright.sample_mirror.package import read, write


def copy(mirror: SampleMirror, to: Path) -> SampleMirror:
    """Return a copy of `mirror` in the folder `to`, which must not exist yet."""

    def link(source: str, target: str) -> None:
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError:  # another filesystem, or one without hard links
            shutil.copy2(source, target, follow_symlinks=False)

    shutil.copytree(mirror.folder, to, symlinks=True, copy_function=link)
    return replace(mirror, folder=to)


def tampered(mirror: SampleMirror, to: Path, name: str) -> SampleMirror:
    """Return a copy in which one byte in the middle of the package `name` is another."""
    changed = copy(mirror, to)
    path = changed.path(name)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    _replace(path, bytes(data))
    return changed


def removed(mirror: SampleMirror, to: Path, name: str) -> SampleMirror:
    """Return a copy whose database lists the package `name`, though its file is gone."""
    changed = copy(mirror, to)
    for path in (changed.path(name), _signature(changed, name)):
        path.unlink()
    return changed


def unsigned(mirror: SampleMirror, to: Path, name: str) -> SampleMirror:
    """Return a copy in which the package `name` has no signature, in the database or beside it."""
    changed = copy(mirror, to)
    _signature(changed, name).unlink()
    with changed.keys.open() as signer:
        add(changed, name, signer)
    return changed


def signed_by(mirror: SampleMirror, to: Path, name: str, key: str) -> SampleMirror:
    """Return a copy in which the package `name` is signed by another key.

    key: one of the names in `rootwright.sample_mirror.keys`, such as ``revoked``.
    """
    changed = copy(mirror, to)
    with changed.keys.open() as signer:
        # gpg writes over the file that is there: it must not be the one shared with the mirror.
        _signature(changed, name).unlink()
        signer.sign(changed.path(name), key)
        add(changed, name, signer)
    return changed


def without_database(mirror: SampleMirror, to: Path, repo: str) -> SampleMirror:
    """Return a copy in which the database of `repo` is missing, its signature included."""
    changed = copy(mirror, to)
    for path in changed.directory(repo).glob(f"{repo}.db*"):
        path.unlink()
    return changed


def unsigned_database(mirror: SampleMirror, to: Path, repo: str) -> SampleMirror:
    """Return a copy in which the database of `repo` has no signature."""
    changed = copy(mirror, to)
    for path in changed.directory(repo).glob(f"{repo}.db*.sig"):
        path.unlink()
    return changed


def bumped(mirror: SampleMirror, to: Path, name: str) -> SampleMirror:
    """Return a copy that offers the package `name` in its next release, built a day later."""
    changed = copy(mirror, to)
    info, tree, install = read(changed.path(name))
    upstream, release = info.version.rsplit("-", 1)
    info = replace(
        info, version=f"{upstream}-{int(release) + 1}", builddate=info.builddate + 86_400
    )
    for path in (changed.path(name), _signature(changed, name)):
        path.unlink()
    published = replace(changed.packages[name], version=info.version, filename=info.filename)
    changed = replace(changed, packages={**changed.packages, name: published})
    write(changed.path(name), info, tree, install)
    with changed.keys.open() as signer:
        signer.sign(changed.path(name))
        add(changed, name, signer)
    return changed


def _signature(mirror: SampleMirror, name: str) -> Path:
    if name not in mirror.packages:
        raise StepError(f"The sample mirror has no package {name}.")
    path = mirror.path(name)
    return path.with_name(path.name + ".sig")


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    partial.replace(path)
