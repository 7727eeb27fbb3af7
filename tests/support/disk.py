"""A disk that is small, and can be made smaller or larger while it is used."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def small_disk(folder: Path, megabytes: float) -> Iterator[Callable[[float], None]]:
    """Mount a disk of that size at a folder, which is made; hand out what changes the size."""
    folder.mkdir(parents=True)
    options = f"{_size(megabytes)},mode=755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)

    def resize(megabytes: float) -> None:
        options = f"remount,{_size(megabytes)}"
        subprocess.run(["mount", "-o", options, str(folder)], check=True)

    try:
        yield resize
    finally:
        # What still runs there is somebody else's to find.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _size(megabytes: float) -> str:
    return f"size={int(megabytes * 1024)}k"
