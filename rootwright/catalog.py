"""The catalog: the systems one may start an image from, what is known of them, and choosing one.

Pure, but that `load` reads the data that lies beside this file; catalog.toml says what each of
its tables means.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from typing import Any

from rootwright.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Fact:
    """What a source said on a day; in words, unless a kind of fact has fields of its own."""

    text: str = ""
    source: str
    date: datetime.date


@dataclass(frozen=True, kw_only=True)
class Release(Fact):
    """The newest release. until: regular support; extended: what follows it, by whom."""

    version: str
    lts: bool
    released: datetime.date | None = None
    until: datetime.date | None = None
    extended: datetime.date | None = None
    extended_by: str = ""

    def end(self, today: datetime.date) -> datetime.date | None:
        """Return when the support ends that holds on a day, or ended; None: nobody told."""
        regular = self.until is None or self.until >= today
        return self.until if regular else self.extended or self.until


@dataclass(frozen=True, kw_only=True)
class Freshness(Fact):
    """How new its software is. months: between two releases, where they are regular."""

    rolling: bool
    months: int | None = None


@dataclass(frozen=True, kw_only=True)
class Packages(Fact):
    """How many packages its repositories hold at the least. counted: source or binary ones."""

    at_least: int
    counted: str


@dataclass(frozen=True, kw_only=True)
class Size(Fact):
    """How large an image is. image: the very one that was looked at."""

    bytes: int
    image: str


@dataclass(frozen=True, kw_only=True)
class System:
    """A system, with what is known of it. playbook: the name of the one that would build it."""

    name: str
    title: str
    playbook: str
    about: Fact
    note: Fact | None = None
    release: Release
    updates: Fact
    freshness: Freshness
    packages: Packages | None = None
    download: Size | None = None
    disk: Size | None = None
    measured: Size | None = None


_KINDS = {"release": Release, "freshness": Freshness, "packages": Packages}
_KINDS |= dict.fromkeys(("download", "disk", "measured"), Size)


def parse(text: str) -> tuple[System, ...]:
    """Return the systems of a catalog in TOML; a wrong key in it raises TypeError."""
    import tomllib  # not needed to list the tasks

    def value(key: str, given: Any) -> Any:
        return _KINDS.get(key, Fact)(**given) if isinstance(given, dict) else given

    tables = tomllib.loads(text)["system"]
    return tuple(System(**{key: value(key, v) for key, v in table.items()}) for table in tables)


def load() -> tuple[System, ...]:
    """Return the systems of the catalog that comes with Rootwright."""
    return parse(resources.files("rootwright").joinpath("catalog.toml").read_text("utf-8"))


_UNITS = {"": 1, "b": 1}
_UNITS |= {f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)}
_UNITS |= {f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)}


def parse_size(text: str) -> int:
    """Return a size such as ``50MB``, ``1.5 GiB`` or ``52428800`` in bytes, rounded down.

    Raises UsageError for what is no size, and for nothing at all.
    """
    match = re.fullmatch(r"([0-9]{1,18})(?:\.([0-9]{1,9}))? ?([a-z]*)", text.strip().lower())
    size = 0
    if match and match[3] in _UNITS:
        decimals = match[2] or ""
        size = int(match[1] + decimals) * _UNITS[match[3]] // 10 ** len(decimals)
    if not size:
        hint = "give a size above zero, such as 50MB, 1.5GiB or 52428800 (bytes)"
        raise UsageError(f"a size cannot be {text!r}", hint=hint)
    return size


SORTS = ("size", "name", "support", "packages", "freshness")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What one looks for, and when.

    max_size: bytes on disk. lts: supported long-term. builds: what one of the playbooks `built`
    builds. Raises UsageError for a sort that there is not.
    """

    today: datetime.date
    built: frozenset[str]
    sort: str = "size"
    max_size: int | None = None
    lts: bool = False
    builds: bool = False

    def __post_init__(self) -> None:
        """Refuse what there is not."""
        if self.sort not in SORTS:
            raise UsageError(f"cannot sort by {self.sort!r}", hint=f"sort by {', '.join(SORTS)}")


@dataclass(frozen=True)
class Miss:
    """A system that was left out, and all that speaks against it.

    reasons: of ``size``, ``no size``, ``not lts``, ``ended`` and ``not built``.
    over: bytes too many. near: one thing speaks against it, and it is not twice too large.
    """

    system: System
    reasons: tuple[str, ...]
    over: int
    near: bool


def choose(systems: Iterable[System], wanted: Wanted) -> tuple[list[System], list[Miss]]:
    """Return the systems that fit, sorted as wanted, and those left out, nearest first."""
    fits, misses = [], []
    for system in systems:
        limit, end = wanted.max_size, system.release.end(wanted.today)
        over = max(0, system.disk.bytes - limit) if limit and system.disk else 0
        against = {
            "size": over > 0,
            "no size": limit is not None and system.disk is None,
            "not lts": wanted.lts and not system.release.lts,
            "ended": wanted.lts and end is not None and end < wanted.today,
            "not built": wanted.builds and system.playbook not in wanted.built,
        }
        reasons = tuple(reason for reason, applies in against.items() if applies)
        if reasons:
            near = reasons in (("size",), ("not lts",)) and over <= (limit or 0)
            misses.append(Miss(system, reasons, over, near))
        else:
            fits.append(system)
    fits.sort(key=lambda system: (_rank(system, wanted), system.name))
    misses.sort(key=lambda miss: (len(miss.reasons), miss.over, miss.system.name))
    return fits, misses


def _rank(system: System, wanted: Wanted) -> float:
    """Return what to compare: the best is least, the unknown comes last."""
    end = system.release.end(wanted.today)
    ranks = {
        "size": system.disk.bytes if system.disk else None,
        "name": 0,
        "support": -end.toordinal() if end else None,
        "packages": -system.packages.at_least if system.packages else None,
        "freshness": 0 if system.freshness.rolling else system.freshness.months,
    }
    rank = ranks[wanted.sort]
    return float("inf") if rank is None else rank
