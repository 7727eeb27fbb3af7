"""The files of a package, and the way from Debian's places to Arch's.

Debian keeps /bin, /sbin and /lib beside /usr; Arch has one directory for all programs, usr/bin,
and one for all libraries, usr/lib, with links where the others used to be (file-hierarchy(7)).
"""

from __future__ import annotations

import io
import posixpath
import re
import subprocess
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from rootwright.errors import StepError


@dataclass(frozen=True, slots=True)
class Entry:
    """One member of a package.

    kind: ``file``, ``dir``, ``link`` (symbolic) or ``hard``.
    target: where a link points; for a hard link the path of the other member.
    capability: the value of the extended attribute ``security.capability``; empty for none.
    """

    kind: Literal["file", "dir", "link", "hard"]
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    data: bytes = b""
    target: str = ""
    capability: bytes = b""


Tree = dict[str, Entry]
"""Members by path, relative to the root and without a leading slash."""

_MOVED = (
    ("bin", "usr/bin"),
    ("sbin", "usr/bin"),
    ("usr/sbin", "usr/bin"),
    ("lib", "usr/lib"),
    ("lib32", "usr/lib"),
    ("lib64", "usr/lib"),
    ("usr/lib32", "usr/lib"),
    ("usr/lib64", "usr/lib"),
    ("usr/share/common-licenses", "usr/share/licenses/common"),
)

_DEBIAN_ONLY = (
    "etc/apt/*",
    "etc/cron.*",
    "etc/debian_version",
    "etc/dhcp/*",
    "etc/dpkg/*",
    "etc/init.d/*",
    "etc/kernel/*",
    "etc/network/*",
    "etc/pam.d/*",
    "etc/ppp/*",
    "etc/ufw/*",
    "etc/update-motd.d/*",
    "etc/xdg/*",
    "run/*",
    "usr/share/apport/*",
    "usr/share/bug/*",
    "usr/share/debhelper/*",
    "usr/share/debianutils/*",
    "usr/share/doc-base/*",
    "usr/share/initramfs-tools/*",
    "usr/share/lintian/*",
    "usr/share/menu/*",
    "usr/share/pam-configs/*",
    "usr/share/perl5/*",
    "usr/share/runit/*",
    "var/lib/dpkg/*",
    "var/lock/*",
    "var/run/*",
)
"""What only Debian's own tools read, and the PAM files that pambase and its kin replace."""

_FOREIGN = re.compile(rb"#! ?\S*[/ ](env )?(perl|python)")
"""The first line of a program for an interpreter that the mirror has not got."""

_SHADOW = 42  # Debian's group of /etc/shadow (base-passwd); Arch has none: root owns the file.


def place(path: str) -> str:
    """Return where a path of Debian's (no leading slash) lives on Arch."""
    for old, new in _MOVED:
        if path == old or path.startswith(old + "/"):
            return new + path[len(old) :]
    return path


def retarget(path: str, target: str) -> str:
    """Return the target of the symbolic link at Debian's `path` as it has to read on Arch."""
    if target.startswith("/"):
        return "/" + place(target.lstrip("/"))
    goal = posixpath.normpath(posixpath.join("/", posixpath.dirname(path), target))
    start = "/" + posixpath.dirname(place(path))
    return posixpath.relpath("/" + place(goal.lstrip("/")), start)


def from_deb(path: Path, *, package: str, only: Iterable[str] = ()) -> Tree:
    """Return the files of a Debian archive at Arch's places.

    package: the Arch package they go into; licences are filed under its name.
    only: globs over Debian's paths; when there are any, nothing else is taken.
    Raises StepError when dpkg-deb cannot read the archive.
    """
    done = subprocess.run(["dpkg-deb", "--fsys-tarfile", path], capture_output=True, check=False)
    if done.returncode:
        raise StepError(
            f"dpkg-deb cannot read {path.name}.",
            where=str(path),
            output=done.stderr.decode("utf-8", "replace"),
            hint="remove the file and try again",
        )
    tree: Tree = {}
    globs = tuple(only)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        for member in archive:
            name = posixpath.normpath(member.name).lstrip("/")
            if name == "." or any(fnmatchcase(name + "/", glob + "*") for glob in _DEBIAN_ONLY):
                continue
            if globs and not any(fnmatchcase(name, glob) for glob in globs):
                continue
            entry = _entry(member, archive)
            goal = place(name)
            if name.startswith("usr/share/doc/") and name.endswith("/copyright"):
                # A link to another package's notice stays where it is.
                if entry.kind == "file":
                    goal = f"usr/share/licenses/{package}/{name.split('/')[3]}"
            elif entry.kind == "link" and _names_itself(goal, entry.target):
                continue  # sbin/ip -> /bin/ip, both of which are usr/bin/ip now
            elif goal.startswith("usr/bin/") and _FOREIGN.match(entry.data):
                continue
            tree[goal] = entry
    return tree


def _entry(member: tarfile.TarInfo, archive: tarfile.TarFile) -> Entry:
    mode, mtime = member.mode & 0o7777, int(member.mtime)
    if member.gid == _SHADOW and mode & 0o2000:
        # What reads /etc/shadow through its group on Debian does so as root on Arch.
        mode = mode & ~0o2000 | 0o4000
    gid = 0 if member.gid == _SHADOW else member.gid
    common = Entry("file", mode=mode, uid=member.uid, gid=gid, mtime=mtime)
    if member.isdir():
        return replace(common, kind="dir")
    if member.issym():
        name = posixpath.normpath(member.name).lstrip("/")
        return replace(common, kind="link", mode=0o777, target=retarget(name, member.linkname))
    if member.islnk():
        other = posixpath.normpath(member.linkname).lstrip("/")
        return replace(common, kind="hard", target=place(other))
    stream = archive.extractfile(member)
    if stream is None:
        raise StepError(f"{member.name} is neither a file, a directory nor a link.")
    return replace(common, data=stream.read())


def _names_itself(path: str, target: str) -> bool:
    return posixpath.normpath(posixpath.join("/", posixpath.dirname(path), target)) == "/" + path


def merge(into: Tree, other: Tree, source: str) -> None:
    """Add `other` to `into`. Raises StepError when both have the same file, naming `source`."""
    for path, entry in other.items():
        there = into.get(path)
        if there is not None and entry.kind != "dir":
            raise StepError(f"{source} brings /{path}, which another part brings too.")
        if there is None:
            into[path] = entry


def with_parents(tree: Tree, mtime: int) -> Tree:
    """Return `tree` with every directory that its members lie in, sorted by path."""
    whole = dict(tree)
    for path in tree:
        while path := posixpath.dirname(path):
            whole.setdefault(path, Entry("dir", mode=0o755, mtime=mtime))
    return dict(sorted(whole.items()))


def newest(tree: Tree) -> int:
    """Return the newest modification time in `tree`, in seconds since the epoch; 0 for none."""
    return max((entry.mtime for entry in tree.values()), default=0)
