"""Roots to ship: a tree of many small files as a distribution has, and large ones beside it."""

from __future__ import annotations

import random
import sys
from pathlib import Path

_MIB = 1 << 20


def make_tree(folder: Path, size: int) -> int:
    """Fill a folder with files, links and folders; return the bytes of its files.

    size: how many bytes, about. A fifth of them is in small files, whose sizes are spread as those
    of Debian's are: half have less than 2 KiB, few more than 64 KiB. Everything is incompressible
    and depends on nothing but the size.
    """
    chance = random.Random(size)
    made = 0
    while made < size // 5:
        place = folder / f"usr/share/part-{chance.randrange(40):02}/of-{chance.randrange(20):02}"
        place.mkdir(parents=True, exist_ok=True)
        length = min(round(chance.lognormvariate(7.5, 1.7)), _MIB)
        path = place / f"file-{chance.getrandbits(48):012x}"
        path.write_bytes(chance.randbytes(length))
        if chance.random() < 0.1:
            path.with_suffix(".link").symlink_to(path.name)
        made += length
    large = folder / "usr/lib"
    large.mkdir(parents=True)
    while made < size:
        length = min(chance.randrange(_MIB, 8 * _MIB), max(size - made, 1))
        (large / f"lib-{chance.getrandbits(48):012x}.so").write_bytes(chance.randbytes(length))
        made += length
    return made


if __name__ == "__main__":
    print(make_tree(Path(sys.argv[1]), int(sys.argv[2])))
