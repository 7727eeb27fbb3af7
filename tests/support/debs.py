"""Writing .deb files in this process: the same bytes every time, a millisecond for a small one."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

MTIME = 1_704_067_200  # 2024-01-01, of every file in every package


@dataclass(frozen=True)
class Entry:
    """What a package has at one path: exactly one of data and link, or neither for a folder.

    data: the contents, or the file on this machine that has them.
    link: the target of a symbolic link.
    """

    data: bytes | Path | None = None
    link: str | None = None
    mode: int = 0o644

    def read(self) -> bytes:
        """Return the contents of a file."""
        return self.data.read_bytes() if isinstance(self.data, Path) else self.data or b""


FOLDER = Entry(mode=0o755)


def text(contents: str, mode: int = 0o644) -> Entry:
    """Return a file with that text."""
    return Entry(data=contents.encode(), mode=mode)


@dataclass(frozen=True)
class Deb:
    """A binary package.

    files: by absolute path; the folders above them come by themselves.
    fields: more of the control file, such as ``{"Depends": "libc6"}``.
    scripts: maintainer scripts by name, such as ``postinst``.
    """

    name: str
    version: str
    architecture: str = "all"
    files: Mapping[str, Entry] = field(default_factory=dict, hash=False)
    fields: Mapping[str, str] = field(default_factory=dict, hash=False)
    scripts: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def filename(self) -> str:
        """The name of its file, which leaves out the epoch, as in Debian's pool."""
        return f"{self.name}_{self.version.rpartition(':')[2]}_{self.architecture}.deb"

    def upgraded(self, suffix: str = "+sec1", files: Mapping[str, Entry] | None = None) -> Deb:
        """Return a newer version, with files added or replaced."""
        return replace(
            self, version=self.version + suffix, files={**self.files, **dict(files or {})}
        )

    def control(self) -> str:
        """Return the control file."""
        fields = {
            "Package": self.name,
            "Version": self.version,
            "Architecture": self.architecture,
            "Maintainer": "Nobody <nobody@example.org>",
            "Priority": "optional",
            "Section": "misc",
        } | dict(self.fields)
        fields["Description"] = fields.get("Description", f"{self.name}, for tests")
        return "".join(f"{key}: {value}\n" for key, value in fields.items())

    def build(self) -> bytes:
        """Return the package file; uncompressed, since it is read more often than sent."""
        data, sums = self._data()
        control = {"control": text(self.control()), "md5sums": text(sums)}
        conffiles = [
            path
            for path, entry in sorted(self.files.items())
            if path.startswith("/etc/") and entry.data is not None
        ]
        if conffiles:
            control["conffiles"] = text("".join(f"{path}\n" for path in conffiles))
        for name, script in self.scripts.items():
            control[name] = text(script, 0o755)
        members = {
            "debian-binary": b"2.0\n",
            "control.tar": _tar({f"/{name}": entry for name, entry in control.items()}),
            "data.tar": data,
        }
        return b"!<arch>\n" + b"".join(_member(name, body) for name, body in members.items())

    def _data(self) -> tuple[bytes, str]:
        contents = {
            path: replace(entry, data=entry.read()) if entry.data is not None else entry
            for path, entry in self.files.items()
        }
        sums = (
            f"{hashlib.md5(entry.read()).hexdigest()}  {path[1:]}\n"
            for path, entry in sorted(contents.items())
            if entry.data is not None and not path.startswith("/etc/")
        )
        return _tar(contents), "".join(sums)


def _tar(files: Mapping[str, Entry]) -> bytes:
    entries: dict[str, Entry] = {}
    for path in files:
        for parent in PurePosixPath(path).parents:
            entries[str(parent)] = FOLDER
    entries |= files
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, entry in sorted(entries.items()):
            info = tarfile.TarInfo("." if path == "/" else f".{path}")
            info.mtime, info.mode = MTIME, entry.mode
            info.uname = info.gname = "root"
            if entry.link is not None:
                info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.link, 0o777
                tar.addfile(info)
            elif entry.data is None:
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            else:
                data = entry.read()
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _member(name: str, body: bytes) -> bytes:
    """Return one member of an ar archive, see ar(5) and deb(5)."""
    header = f"{name:<16}{MTIME:<12}{0:<6}{0:<6}{'100644':<8}{len(body):<10}`\n"
    return header.encode() + body + b"\n" * (len(body) % 2)
