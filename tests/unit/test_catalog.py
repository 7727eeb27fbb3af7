"""The catalog: its data, sizes as people write them, choosing, and what is printed."""

from __future__ import annotations

import contextlib
import datetime
import json
import typing
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from invoke.collection import Collection

from rootwright import cli
from rootwright.catalog import SORTS, Fact, Miss, System, Wanted, choose, load, parse, parse_size
from rootwright.cli.catalog import answer, as_json, catalog, named, page
from rootwright.errors import UsageError
from rootwright.report.lines import size_text

TODAY = datetime.date(2026, 11, 23)
LATER = datetime.date(2040, 1, 1)
SYSTEMS = load()
BUILT = frozenset({"debian", "arch"})


def wanted(**changes: Any) -> Wanted:
    given: dict[str, Any] = {"today": TODAY, "built": BUILT} | changes
    return Wanted(**given)


def chosen(**changes: Any) -> tuple[list[str], list[Miss]]:
    fits, misses = choose(SYSTEMS, wanted(**changes))
    assert len(fits) + len(misses) == len(SYSTEMS)
    return [system.name for system in fits], misses


def missed(misses: list[Miss]) -> dict[str, tuple[str, ...]]:
    return {miss.system.name: miss.reasons for miss in misses}


# The data.


def test_the_article_s_systems_and_arch_are_there() -> None:
    assert [system.title for system in SYSTEMS] == [
        "BusyBox",
        "Alpine Linux",
        "CirrOS",
        "Debian",
        "CentOS Stream",
        "Fedora Linux",
        "Ubuntu",
        "Windows Nano Server",
        "Windows Server Core",
        "Arch Linux",
    ]


def facts(system: System) -> Iterator[tuple[str, Fact]]:
    for field in fields(system):
        value = getattr(system, field.name)
        if isinstance(value, Fact):
            yield field.name, value


def holds(value: object, hint: Any) -> bool:
    """Tell whether a value is of the type that a dataclass says it is."""
    if typing.get_args(hint):
        return any(holds(value, member) for member in typing.get_args(hint))
    if is_dataclass(value):
        hints = typing.get_type_hints(type(value))
        inner = all(holds(getattr(value, key), kind) for key, kind in hints.items())
        return type(value) is hint and inner
    return type(value) is hint


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_every_fact_is_whole_and_says_where_and_when(system: System) -> None:
    assert holds(system, System)
    for name, fact in facts(system):
        assert fact.source.startswith("https://"), name
        assert datetime.date(2020, 1, 1) < fact.date <= datetime.date.today(), name
        assert bool(fact.text) == (name in ("about", "note", "updates", "freshness")), name
        assert len(fact.text) < 120, name
    release = system.release
    ends = [end for end in (release.released, release.until, release.extended) if end]
    assert ends == sorted(ends)
    assert bool(release.extended) == bool(release.extended_by)
    assert system.download
    assert system.disk
    assert system.download.bytes < system.disk.bytes
    assert system.packages is None or system.packages.counted in ("source", "binary")


def test_a_key_that_the_catalog_does_not_know_is_no_data() -> None:
    with pytest.raises(TypeError):
        parse('[[system]]\nname = "x"\ncolour = "blue"')


# Sizes.


@given(st.integers(1, 10**15))
def test_a_printed_size_can_be_asked_for(size: int) -> None:
    text = size_text(size)
    assert size_text(parse_size(text)) == text
    assert abs(parse_size(text) - size) <= size / 20


@given(st.integers(1, 10**17))
def test_bytes_are_taken_as_they_are(size: int) -> None:
    assert parse_size(str(size)) == parse_size(f"{size} B") == size


@given(
    st.integers(1, 10**6),
    st.sampled_from(["kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"]),
    st.sampled_from(["", " "]),
    st.sampled_from([str.lower, str.upper, str]),
)
def test_units(number: int, unit: str, gap: str, case: Any) -> None:
    factor = (1024 if "i" in unit else 1000) ** ("kmgt".index(unit[0].lower()) + 1)
    assert parse_size(case(f" {number}{gap}{unit} ")) == number * factor
    assert parse_size(f"{number}.25{unit}") == number * factor + factor // 4


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0.0GB",
        "0.5",
        "-1MB",
        "50 M",
        "50MBit",
        "1e6",
        "MB",
        "1,5GB",
        "٣MB",
        "9" * 40,
        "\x1b",
    ],
)
def test_what_is_no_size_is_said_with_what_would_be(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_size(text)
    assert "50MB" in caught.value.hint


@given(st.text())
def test_any_text_is_a_size_or_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert parse_size(text) > 0


# Choosing.


def test_sorts() -> None:
    by = {sort: chosen(sort=sort)[0] for sort in SORTS}
    assert by["size"][:2] == ["busybox", "alpine"]
    assert by["size"][-1] == "servercore"
    assert by["name"] == sorted(by["name"])
    assert by["support"][0] == "ubuntu"
    assert by["support"][-3:] == ["arch", "busybox", "cirros"]
    assert by["packages"][:2] == ["debian", "ubuntu"]
    assert by["freshness"][:3] == ["arch", "alpine", "fedora"]
    assert all(sorted(order) == by["name"] for order in by.values())


@pytest.mark.parametrize("sort", SORTS)
def test_what_is_not_known_comes_last(sort: str) -> None:
    (first, *rest) = SYSTEMS
    release = replace(first.release, until=None, extended=None)
    freshness = replace(first.freshness, rolling=False, months=None)
    unknown = replace(
        first, name="zzz", release=release, freshness=freshness, packages=None, disk=None
    )
    assert choose([unknown, *rest], wanted(sort=sort))[0][-1] == unknown


def test_what_is_wanted_and_what_speaks_against_the_rest() -> None:
    fits, misses = chosen(max_size=110_000_000, lts=True)
    assert fits == ["ubuntu"]
    assert missed(misses)["debian"] == ("size",)
    assert missed(misses)["alpine"] == ("not lts",)
    assert missed(misses)["fedora"] == ("size", "not lts")
    # Debian is a little too large; Windows is far too large, Fedora is out for two reasons.
    near = {miss.system.name for miss in misses if miss.near}
    assert near == {"alpine", "busybox", "cirros", "debian"}
    assert [len(miss.reasons) for miss in misses] == sorted(len(m.reasons) for m in misses)


def test_a_size_that_is_just_enough_is_enough() -> None:
    debian = named(SYSTEMS, "debian").disk
    assert debian
    assert "debian" in chosen(max_size=debian.bytes)[0]
    fits, misses = chosen(max_size=debian.bytes - 1)
    assert "debian" not in fits
    assert {miss.over for miss in misses if miss.system.name == "debian"} == {1}


def test_a_size_that_nobody_told_does_not_fit() -> None:
    unknown = replace(SYSTEMS[0], disk=None)
    fits, (miss,) = choose([unknown], wanted(max_size=10**12))
    assert not fits
    assert miss.reasons == ("no size",)


def test_long_term_support_that_has_ended_is_none() -> None:
    ubuntu = named(SYSTEMS, "ubuntu")
    assert ubuntu.release.until
    assert ubuntu.release.extended
    regular, extended = ubuntu.release.until, ubuntu.release.extended
    day = datetime.timedelta(days=1)
    assert ubuntu.release.end(regular) == regular
    assert ubuntu.release.end(regular + day) == extended
    assert choose([ubuntu], wanted(lts=True, today=extended))[0] == [ubuntu]
    _, (miss,) = choose([ubuntu], wanted(lts=True, today=extended + day))
    assert miss.reasons == ("ended",)


def test_what_rootwright_builds_is_what_there_is_a_playbook_for() -> None:
    assert chosen(builds=True, sort="name")[0] == ["arch", "debian"]
    assert chosen(builds=True, built=frozenset({"busybox"}))[0] == ["busybox"]
    fits, misses = chosen(builds=True, built=frozenset())
    assert not fits
    assert set(missed(misses).values()) == {("not built",)}


# What is printed.


@pytest.mark.parametrize("max_size", [None, 1, 5_000_000, 50_000_000, 10**10])
@pytest.mark.parametrize("lts", [False, True])
@pytest.mark.parametrize("builds", [False, True])
@pytest.mark.parametrize("today", [TODAY, LATER])
def test_an_answer_fits_a_terminal(
    max_size: int | None, lts: bool, builds: bool, today: datetime.date
) -> None:
    asked = wanted(max_size=max_size, lts=lts, builds=builds, today=today)
    lines = list(answer(*choose(SYSTEMS, asked), asked))
    assert lines
    assert max(map(len, lines)) <= 80
    assert lines == [line.rstrip() for line in lines]


def test_when_nothing_fits_every_reason_is_told() -> None:
    asked = wanted(max_size=50_000_000, lts=True)
    text = "\n".join(answer(*choose(SYSTEMS, asked), asked))
    assert text.startswith(
        "Nothing in the catalog is at most 50.0 MB on disk, supported long-term."
    )
    assert "  alpine: not supported long-term\n" in text
    assert "  ubuntu: 100.2 MB on disk (41.6 MB to download), 50.2 MB too much\n" in text
    assert all(f"  {system.name}: " in text for system in SYSTEMS)


def test_support_that_is_over_is_shown_as_over() -> None:
    asked = wanted(today=LATER)
    fits, misses = choose(SYSTEMS, asked)
    rows = [line for line in answer(fits, misses, asked) if line.startswith("fedora ")]
    assert [" ended " in row for row in rows] == [True]
    words = "\n".join(page(named(SYSTEMS, "fedora"), asked)).split()
    assert "support ended 2027-06-02" in " ".join(words)
    lts = wanted(lts=True, today=LATER)
    told = "\n".join(answer(*choose(SYSTEMS, lts), lts))
    assert "ubuntu: its support ended on 2036-04-30\n" in told


def test_a_size_that_was_measured_is_shown() -> None:
    debian = named(SYSTEMS, "debian")
    made = replace(debian, measured=debian.disk)
    assert "On disk as Rootwright built it: debian 120.1 MB (2026-09-18)" in list(
        answer([made], [], wanted())
    )


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_a_page_tells_every_fact_with_its_source(system: System) -> None:
    lines = list(page(system, wanted()))
    text = "\n".join(lines)
    for name, fact in facts(system):
        assert f"\n  {name}: " in text
        assert f"      {fact.source} ({fact.date})" in lines
    assert ("builds it with build-" in lines[0]) == (system.playbook in BUILT)


def test_json_has_every_field_numbers_and_iso_dates() -> None:
    asked = wanted(max_size=110_000_000, lts=True)
    report = json.loads(as_json(*choose(SYSTEMS, asked), asked))
    assert report["wanted"] == {
        "today": "2026-11-23",
        "built": ["arch", "debian"],
        "sort": "size",
        "max_size": 110_000_000,
        "lts": True,
        "builds": False,
    }
    (ubuntu,) = report["systems"]
    assert set(ubuntu) == {field.name for field in fields(System)} | {"builds"}
    assert ubuntu["builds"] is False
    assert ubuntu["disk"]["bytes"] == 100_160_000
    assert datetime.date.fromisoformat(ubuntu["release"]["until"]).year == 2031
    assert {"name": "fedora", "reasons": ["size", "not lts"]} in report["left_out"]


# The command line.


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    collection = Collection()
    collection.add_task(catalog, name="catalog")
    try:
        cli.main(["inv", "catalog", *words], collection)
        code = 0
    except SystemExit as e:
        code = int(e.code or 0)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--sort", "size", "--max-size", "50MB")
    assert (code, err) == (0, "")
    assert out.startswith("name ")
    code, out, err = run(capsys, "--name", "alpine", "--json")
    assert (code, err) == (0, "")
    assert [system["name"] for system in json.loads(out)["systems"]] == ["alpine"]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--sort", "colour"], "size, name, support, packages, freshness"),
        (["--max-size", "50 elephants"], "50MB, 1.5GiB or 52428800"),
        (["--name", "debain"], "did you mean 'debian'?"),
        (["--name", "plan9"], "it has busybox, alpine"),
        (["--name", "arch", "--lts"], "use it alone"),
    ],
)
def test_wrong_values_are_refused_with_what_would_be_right(
    capsys: pytest.CaptureFixture[str], words: list[str], hint: str
) -> None:
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert hint in err
