"""What `catalog` prints: the systems one may choose among, for a person or for a program."""

from __future__ import annotations

import datetime
import difflib
import json as json_format
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields

from invoke.context import Context
from invoke.tasks import task

from rootwright.catalog import SORTS, Fact, Miss, Packages, System, Wanted, choose, load, parse_size
from rootwright.cli.edge import edge
from rootwright.errors import UsageError
from rootwright.playbook import REGISTRY

_OLD = datetime.timedelta(days=365)
_TITLES = ("name", "release", "on disk", "download", "until", "LTS", "packages", "renewed")
_NUMBERS = ("on disk", "download", "packages")
_SAID = {"until": "supported until", "extended": "then until", "extended_by": "by"}


@task(
    help={
        "sort": f"one of {', '.join(SORTS)} (default: size, on disk)",
        "max-size": "the largest size on disk: 50MB, 1.5GiB, or bytes",
        "lts": "only what is supported long-term",
        "builds": "only what Rootwright builds today",
        "name": "all that is known of one system, with sources and dates",
        "json": "print JSON: every field, sizes in bytes, dates as in ISO 8601",
    },
    auto_shortflags=False,
)
def catalog(
    _context: Context,
    sort: str = "size",
    max_size: str = "",
    lts: bool = False,
    builds: bool = False,
    name: str = "",
    json: bool = False,
) -> None:
    """Compare the systems one may start an image from: size, support, freshness, packages."""
    with edge():
        wanted = Wanted(
            today=datetime.date.today(),
            built=frozenset(REGISTRY),
            sort=sort,
            max_size=parse_size(max_size) if max_size else None,
            lts=lts,
            builds=builds,
        )
        systems = load()
        if name:
            if max_size or lts or builds:
                raise UsageError(
                    "--name shows one system, whatever it is like", hint="use it alone"
                )
            systems = (named(systems, name),)
        fits, misses = choose(systems, wanted)
        if json:
            print(as_json(fits, misses, wanted))
        else:
            print("\n".join(page(fits[0], wanted) if name else answer(fits, misses, wanted)))


def named(systems: Sequence[System], name: str) -> System:
    """Return the system of this name. Raises UsageError, with the nearest name, for no such."""
    known = {system.name: system for system in systems}
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}"
        raise UsageError(f"the catalog has no {name!r}", hint=hint)
    return known[name]


def as_json(fits: Sequence[System], misses: Sequence[Miss], wanted: Wanted) -> str:
    """Return the answer for a program."""
    document = {
        "wanted": asdict(wanted) | {"built": sorted(wanted.built)},
        "systems": [asdict(s) | {"builds": s.playbook in wanted.built} for s in fits],
        "left_out": [{"name": miss.system.name, "reasons": miss.reasons} for miss in misses],
    }
    return json_format.dumps(document, indent=2, ensure_ascii=False, default=str)


def answer(fits: Sequence[System], misses: Sequence[Miss], wanted: Wanted) -> Iterator[str]:
    """Yield the answer for a person: a table and the near misses, or why there is nothing."""
    if fits:
        rows = [_TITLES, *(_row(system, wanted) for system in fits)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = zip(_TITLES, row, widths, strict=True)
            texts = (cell.rjust(w) if t in _NUMBERS else cell.ljust(w) for t, cell, w in cells)
            yield "  ".join(texts).rstrip()
        yield ""
        yield "+ Rootwright builds it   ~ looked at over a year ago   b binary packages counted"
        made = ((s.name, s.measured) for s in fits)
        sizes = [f"{name} {_size(size.bytes)} ({size.date})" for name, size in made if size]
        if sizes:
            yield from _wrapped(f"On disk as Rootwright built it: {', '.join(sizes)}", "")
        yield "One system in full, with sources and dates: --name NAME"
    else:
        limit = f"at most {_size(wanted.max_size)} on disk" if wanted.max_size else ""
        asked = [limit, "supported long-term" * wanted.lts, "built by Rootwright" * wanted.builds]
        yield from _wrapped(f"Nothing in the catalog is {', '.join(filter(None, asked))}.", "")
    told = [miss for miss in misses if miss.near or not fits]
    if told:
        yield from ("", "Near misses:" if fits else "What speaks against each, nearest first:")
    for miss in told:
        yield from _wrapped(f"{miss.system.name}: {_reasons(miss, wanted)}")


def _row(system: System, wanted: Wanted) -> tuple[str, ...]:
    sizes = [
        "~" * (wanted.today - fact.date > _OLD) + _size(fact.bytes) if fact else "?"
        for fact in (system.disk, system.download)
    ]
    fresh, packages, end = system.freshness, system.packages, system.release.end(wanted.today)
    return (
        system.name + " +" * (system.playbook in wanted.built),
        system.release.version,
        *sizes,
        ("ended" if end < wanted.today else str(end)) if end else "rolling" * fresh.rolling or "-",
        "yes" if system.release.lts else "no",
        f"{packages.at_least:,}+{'b' if packages.counted == 'binary' else ' '}"
        if packages
        else "- ",
        "rolling" if fresh.rolling else f"{fresh.months} months" if fresh.months else "irregular",
    )


def _reasons(miss: Miss, wanted: Wanted) -> str:
    disk, download = miss.system.disk, miss.system.download
    sizes = f"{_size(disk.bytes)} on disk" if disk else ""
    sizes += f" ({_size(download.bytes)} to download)" if download else ""
    words = {
        "size": f"{sizes}, {_size(miss.over)} too much",
        "no size": "no source tells its size",
        "not lts": "not supported long-term",
        "ended": f"its support ended on {miss.system.release.end(wanted.today)}",
        "not built": "no playbook builds it",
    }
    return "; ".join(words[reason] for reason in miss.reasons)


def page(system: System, wanted: Wanted) -> Iterator[str]:
    """Yield all that is known of one system, each fact with its source and date."""
    built = system.playbook in wanted.built
    how = f"builds it with build-{system.playbook}" if built else "does not build it yet"
    yield f"{system.title}. Rootwright {how}."
    for field in fields(system):
        fact = getattr(system, field.name)
        if isinstance(fact, Fact):
            words = fact.text or ", ".join(_words(fact, wanted.today))
            yield from _wrapped(f"{field.name}: {words}")
            yield f"      {fact.source} ({fact.date})"


def _words(fact: Fact, today: datetime.date) -> Iterator[str]:
    if isinstance(fact, Packages):
        yield f"at least {fact.at_least:,} {fact.counted} packages"
        return
    for key, value in vars(fact).items():
        if key in ("text", "source", "date") or value is None or value == "":
            continue
        if key == "lts":
            yield "long-term support" if value else "not long-term"
        elif key == "bytes":
            yield f"{_size(value)} ({value:,} bytes)"
        elif key in ("until", "extended") and value < today:
            yield f"support ended {value}"
        else:
            yield f"{_SAID.get(key, key)} {value}"


def _size(size: int) -> str:
    from rootwright.report.lines import size_text  # costs time that --list need not pay

    return size_text(size)


def _wrapped(text: str, indent: str = "  ") -> list[str]:
    return textwrap.wrap(text, 80, initial_indent=indent, subsequent_indent=indent + "  ")
