"""All there is below a folder, to tell whether it was touched."""

from __future__ import annotations

import stat
from pathlib import Path


def snapshot(folder: Path | str) -> dict[str, tuple[object, ...]]:
    """Return all there is at and below a folder, with dates that tell whether it was touched."""
    seen: dict[str, tuple[object, ...]] = {}
    for path in [Path(folder), *Path(folder).rglob("*")]:
        info = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(info.st_mode) else b""
        link = path.readlink() if path.is_symlink() else ""
        dates = info.st_mtime_ns, info.st_ctime_ns
        seen[str(path)] = (info.st_mode, info.st_uid, info.st_gid, *dates, content, link)
    return seen
