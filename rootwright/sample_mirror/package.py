"""Writing and reading Arch packages.

A package is a tar archive, compressed by zstd, whose first members describe it: ``.PKGINFO``
(alpm's name, version, dependencies), ``.INSTALL`` (the scriptlet) and ``.MTREE`` (every file's
mode, size and digests, which ``pacman -Qkk`` compares with the disk).

Sources: makepkg of pacman 6.0.2 (``write_pkginfo``, ``create_package``), mtree(5), alpm's
``lib/libalpm/be_package.c``.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rootwright.errors import StepError
from rootwright.sample_mirror.tree import Entry, Tree, newest, with_parents

PACKAGER = "Rootwright sample mirror <sample@rootwright.invalid>"

_CAPABILITY = "SCHILY.xattr.security.capability"


@dataclass(frozen=True, kw_only=True)
class Info:
    """What ``.PKGINFO`` says.

    version: ``[epoch:]pkgver-pkgrel``.
    builddate: seconds since the epoch.
    size: the bytes of its files once installed.
    """

    name: str
    version: str
    architecture: str
    description: str
    builddate: int
    size: int = 0
    groups: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    backup: tuple[str, ...] = ()

    @property
    def filename(self) -> str:
        """Return the file name makepkg would give the package."""
        return f"{self.name}-{self.version}-{self.architecture}.pkg.tar.zst"

    def text(self) -> str:
        """Return the contents of ``.PKGINFO``."""
        lines = [
            "# A package of Rootwright's sample mirror",
            f"pkgname = {self.name}",
            f"pkgbase = {self.name}",
            "xdata = pkgtype=pkg",
            f"pkgver = {self.version}",
            f"pkgdesc = {self.description}",
            f"builddate = {self.builddate}",
            f"packager = {PACKAGER}",
            f"size = {self.size}",
            f"arch = {self.architecture}",
            "license = custom",
        ]
        for key in ("groups", "provides", "backup", "depends"):
            lines += [f"{_KEYS[key]} = {value}" for value in getattr(self, key)]
        return "\n".join(lines) + "\n"

    def of(self, tree: Tree) -> Info:
        """Return this with what only its files can tell: size, date, configuration files."""
        return replace(
            self,
            builddate=newest(tree) or self.builddate,
            size=sum(len(entry.data) for entry in tree.values()),
            backup=tuple(
                path
                for path in sorted(tree)
                if path.startswith("etc/") and tree[path].kind == "file"
            ),
        )

    @classmethod
    def parse(cls, text: str) -> Info:
        """Return what `text`, the contents of a ``.PKGINFO``, says."""
        halves = (line.partition(" = ") for line in text.splitlines())
        pairs = [(key, value) for key, equals, value in halves if equals]
        one = dict(pairs)
        many = {
            name: tuple(value for key, value in pairs if key == field)
            for name, field in _KEYS.items()
        }
        return cls(
            name=one["pkgname"],
            version=one["pkgver"],
            architecture=one["arch"],
            description=one["pkgdesc"],
            builddate=int(one["builddate"]),
            size=int(one["size"]),
            **many,
        )


_KEYS: Mapping[str, str] = {
    "groups": "group",
    "provides": "provides",
    "backup": "backup",
    "depends": "depend",
}


def version(debian: str) -> str:
    """Return a Debian version as one of pacman's, which has no hyphens and ends in a release.

    ``1:2.36-9+deb12u10`` becomes ``1:2.36.9+deb12u10-1``; the order of versions is kept as far
    as vercmp(8) sees it.
    """
    return debian.replace("-", ".").replace("~", "_") + "-1"


def mtree(members: Mapping[str, Entry]) -> bytes:
    """Return the ``.MTREE`` of `members`: mtree(5), gzip-compressed, the same for the same tree."""
    lines = ["#mtree"]
    for path, entry in members.items():
        escaped = "".join(
            chr(byte) if 0x21 <= byte < 0x7F and byte not in b"\\#" else f"\\{byte:03o}"
            for byte in path.encode()
        )
        words = [f"./{escaped}", f"time={entry.mtime}.0", f"mode={entry.mode:o}"]
        words += [f"uid={entry.uid}", f"gid={entry.gid}"]
        if entry.kind == "dir":
            words.append("type=dir")
        elif entry.kind == "link":
            words += ["type=link", f"link={_escape_target(entry.target)}"]
        else:
            data = (members[entry.target] if entry.kind == "hard" else entry).data
            words += [
                "type=file",
                f"size={len(data)}",
                f"md5digest={hashlib.md5(data, usedforsecurity=False).hexdigest()}",
                f"sha256digest={hashlib.sha256(data).hexdigest()}",
            ]
        lines.append(" ".join(words))
    return gzip.compress("\n".join(lines).encode() + b"\n", compresslevel=1, mtime=0)


def _escape_target(target: str) -> str:
    return target.replace("\\", "\\134").replace(" ", "\\040").replace("#", "\\043")


def write(path: Path, info: Info, tree: Tree, install: str = "") -> None:
    """Write the package at `path`, directories included that `tree` takes for granted.

    install: the scriptlet; empty for none.
    Raises StepError when zstd fails.
    """
    members = _links_after_files(with_parents(tree, info.builddate))
    head: Tree = {".PKGINFO": Entry("file", mtime=info.builddate, data=info.text().encode())}
    if install:
        head[".INSTALL"] = Entry("file", mtime=info.builddate, data=install.encode())
    # .MTREE tells of the other members that describe the package, not of itself.
    listing = Entry("file", mtime=info.builddate, data=mtree({**head, **members}))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, entry in {**head, ".MTREE": listing, **members}.items():
            archive.addfile(_member(name, entry), io.BytesIO(entry.data))
    done = subprocess.run(
        ["zstd", "-q", "-1", "-f", "-o", path],
        input=buffer.getbuffer(),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise StepError(
            f"zstd could not write {path.name}.",
            where=str(path),
            output=done.stderr.decode("utf-8", "replace"),
            hint="is the disk full?",
        )


def _links_after_files(members: Tree) -> Tree:
    """Return `members` with each hard link's contents at the first of its names.

    An archive is unpacked from the front, so a hard link must follow the file it names.
    """
    first: dict[str, str] = {}
    for path, entry in members.items():
        if entry.kind in ("file", "hard"):
            first.setdefault(entry.target or path, path)
    result: Tree = {}
    for path, entry in members.items():
        real = entry.target if entry.kind == "hard" else path
        if entry.kind not in ("file", "hard") or real not in first:
            result[path] = entry
        elif first[real] == path:
            result[path] = members[real]
        else:
            shared = members[real]
            result[path] = Entry(
                "hard", shared.mode, shared.uid, shared.gid, shared.mtime, target=first[real]
            )
    return result


def _member(name: str, entry: Entry) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mode, member.uid, member.gid = entry.mode, entry.uid, entry.gid
    member.uname, member.gname = _name(entry.uid), _name(entry.gid)
    member.mtime = entry.mtime
    if entry.kind == "dir":
        member.type = tarfile.DIRTYPE
    elif entry.kind == "link":
        member.type, member.linkname = tarfile.SYMTYPE, entry.target
    elif entry.kind == "hard":
        member.type, member.linkname = tarfile.LNKTYPE, entry.target
    else:
        member.size = len(entry.data)
    if entry.capability:
        # The value is binary, but made of bytes below 0x80 for every capability used here.
        member.pax_headers = {_CAPABILITY: entry.capability.decode("ascii")}
    return member


def _name(number: int) -> str:
    # Without a name, the number counts: that of the root that pacman installs into.
    return "root" if number == 0 else ""


def read(path: Path) -> tuple[Info, Tree, str]:
    """Return what `write` put into the package at `path`: its description, files, scriptlet.

    Raises StepError when it cannot be read.
    """
    done = subprocess.run(["zstd", "-dcq", path], capture_output=True, check=False)
    if done.returncode:
        raise StepError(
            f"zstd cannot read {path.name}.",
            where=str(path),
            output=done.stderr.decode("utf-8", "replace"),
        )
    tree: Tree = {}
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isfile() else None
            tree[member.name] = Entry(
                "dir"
                if member.isdir()
                else "link"
                if member.issym()
                else "hard"
                if member.islnk()
                else "file",
                mode=member.mode,
                uid=member.uid,
                gid=member.gid,
                mtime=int(member.mtime),
                data=stream.read() if stream else b"",
                target=member.linkname,
                capability=member.pax_headers.get(_CAPABILITY, "").encode("ascii"),
            )
    install = tree.pop(".INSTALL", Entry("file")).data.decode()
    del tree[".MTREE"]
    return Info.parse(tree.pop(".PKGINFO").data.decode()), tree, install
