"""A host that answers garbage: each reply is understood or an error that a person can be shown."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rootwright import cli, doctor
from rootwright.errors import RootwrightError, ShipError, StepError
from rootwright.layer_stream import MARK, LayerStream, read_digest, read_size
from rootwright.module import REGISTRY as MODULES
from rootwright.module import Module
from rootwright.plan import Item, Step
from rootwright.play import Player
from rootwright.playbook import REGISTRY, ImageConfig, Recipe
from rootwright.report import ModuleReport, Reporters
from rootwright.resource import Absent, Command, Device, Directory, File, Line, Resource, Symlink
from rootwright.ship import Shipping, _epoch, architecture
from tests.support.hostile_host import checked, opened

BYTES = settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NUMBERS = st.one_of(
    st.integers().map(str),
    st.sampled_from(["9" * 5000, "٣", "²", "1_0", " 1", "+1", "-0", "0x1", "1e3", "", "NaN"]),
)


# --- what a play asks

RESOURCES: tuple[Resource, ...] = (
    File("/a", "b\n"),
    Directory("/b"),
    Symlink("/c", "b"),
    Line("/d", "b"),
    Absent(("/e",)),
    Device("/f", "c", 1, 3),
    Command("g", "true", stamp="s", reads=("/a",), writes=("/g",)),
)


@dataclass(frozen=True, kw_only=True)
class Everything(Module):
    """A resource of each kind."""

    def resources(self) -> Iterable[Resource]:
        return RESOURCES


@pytest.fixture(autouse=True, scope="module")
def registry() -> Iterator[None]:
    """The module of these tests is nobody else's."""
    yield
    MODULES.pop(Everything.name, None)


ITEMS = tuple(Item(index, "root", resource) for index, resource in enumerate(RESOURCES))
STEPS = (
    Step(Everything(), "root", ITEMS[:3]),
    Step(Everything(), "root", ITEMS[3:]),
)

SHAPES = st.sampled_from(
    [
        b"",
        b"mode=0",
        b"mode=81a4 uid=0 gid=0 sha256=00 b64=YQ==",
        b"mode=41ed uid=0 gid=0",
        b"mode=a1ff uid=0 gid=0 to=Yg==",
        b"refused=1",
        b"count=0 b64=",
        b"count=" + b"9" * 5000,
        b"mode=81a4 uid=\xd9\xa3 gid=0",
        b"same=1 mode=81a4",
    ]
)
KINDS = st.sampled_from([b"state", b"before", b"after", b"failed", b"now", b"end", b"", b"facts"])
INDICES = st.one_of(
    st.integers(0, 8).map(lambda n: b"%d" % n), NUMBERS.map(lambda n: n.encode()), st.binary()
)
RECORDS = st.builds(lambda *words: b" ".join(words), KINDS, INDICES, SHAPES | st.binary())
PIECES = st.one_of(
    RECORDS.map(lambda record: b"\x1eNONCE " + record + b"\n"),
    RECORDS.map(lambda record: b"\x1eNONCE " + record),
    st.binary(max_size=40),
    st.just(b"\x1b[2J\x1b]0;title\x07\xc2\x9b6n"),
)


def reply(*kinds: bytes) -> list[bytes]:
    """Return an honest answer to everything, in pieces."""
    return [
        b"\x1eNONCE %s %d mode=0\n" % (kind, index) for index in range(len(ITEMS)) for kind in kinds
    ]


@BYTES
@given(st.lists(PIECES, max_size=12), st.sampled_from([0, 1, 255, 137]))
@example(reply(b"state"), 0)
@example(reply(b"state") + reply(b"state"), 0)
@example([*reply(b"state"), b"\x1eNONCE state 99 mode=0\n"], 0)
@example(reply(b"before", b"after"), 0)
def test_any_reply_is_states_or_an_error(tmp_path: Path, pieces: list[bytes], status: int) -> None:
    said = tmp_path / "said"
    said.write_bytes(b"".join(pieces))
    script = f"""
    say ready
    while take; do
        sed "s/NONCE/$nonce/g" {shlex.quote(str(said))}
        say end {status}
    done
    """
    reports: list[ModuleReport] = []
    with opened(script) as session:
        player = Player(session, STEPS, Reporters([]), "evil")
        try:
            states = player.observe()
            assert states.keys() == set(range(len(ITEMS)))
            player.check(states)
            player.apply(states, reports.append)
        except RootwrightError as e:
            checked(e)


def converging(said: list[bytes], tmp_path: Path) -> RootwrightError | None:
    """Play the file alone, with this answer to its converging; return the error."""
    (tmp_path / "look").write_bytes(b"".join(reply(b"state")))
    (tmp_path / "said").write_bytes(b"".join(said))
    files = " ".join(shlex.quote(str(tmp_path / name)) for name in ("look", "said"))
    script = 'say ready; for f in FILES; do take; sed "s/NONCE/$nonce/g" $f; say end 0; done; take'
    with opened(script.replace("FILES", files)) as session:
        steps = [Step(Everything(), "root", ITEMS[:1]), Step(Everything(), "root", ITEMS[1:])]
        player = Player(session, steps, Reporters([]), "evil")
        try:
            player.apply(player.observe(), lambda _: None)
        except RootwrightError as e:
            return checked(e)
    return None


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        (["before 0 mode=0", "after 0 mode=0", "after 0 mode=0"], "after '0'"),
        (["before 0 mode=0", "before 7 mode=0", "after 0 mode=0"], "before '7'"),
        (["before 0 mode=0", "after ٣ mode=0"], "makes no sense"),
        (["after 0 mode=0"], "leaves something out"),
        # The command reads what the file writes, and was not looked at again.
        (["before 0 mode=0", "after 0 mode=0"], "leaves something out"),
        (["before 0 mode=0", "after 0 mode=0", "state 1 mode=0"], "state '1'"),
    ],
)
def test_an_answer_to_another_question_is_none(said: list[str], wrong: str, tmp_path: Path) -> None:
    error = converging([b"\x1eNONCE " + one.encode() + b"\n" for one in said], tmp_path)
    assert isinstance(error, StepError)
    assert wrong in error.what


# --- what a host says of itself


@given(st.sampled_from([check.fact for check in doctor.CHECKS]), NUMBERS | st.text())
@example("check-clock", "9" * 5000)
@example("check-disk-space", "x\n/dev/a 1 2 " + "9" * 5000)
@example("check-disk-space", "x\n/dev/a 1 2 ²")
def test_any_fact_is_a_verdict(fact: str, said: str) -> None:
    for check, verdict in doctor.verdicts({fact: said}):
        assert verdict.lack or check.fact == fact or check.name == "privilege" or not verdict.found
    with pytest.raises(StepError):
        doctor.require({fact: said}, "evil", room=True)


FACTS = (
    *("os", "os_like", "codename", "arch", "dpkg_architecture", "apt_targets", "apt_suites"),
    *("apt_mirror_files", "bootstrap_tools", "tool_mirror", "tool_security_mirror"),
)
SAID = st.one_of(
    st.text(),
    st.text(" \n/:abhtp\x1b", max_size=30),
    st.sampled_from(["debian", "x86_64", "http://m/d s Debian", "http://[", "../../x", "-"]),
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(FACTS), SAID))
def test_any_facts_are_a_recipe_or_an_error(facts: dict[str, str]) -> None:
    cli.namespace()
    for book in REGISTRY.values():
        try:
            architecture(book.recipe(book.settings([]), facts), facts)
        except RootwrightError as e:
            checked(e)


@pytest.mark.parametrize("said", ["", "../../../etc/x", "a/b", "a\n", "\x1b[2J", "x" * 99, ".x"])
def test_a_machine_s_name_does_not_choose_a_folder_here(said: str) -> None:
    with pytest.raises(StepError) as caught:
        architecture(Recipe(image=ImageConfig()), {"arch": said})
    checked(caught.value)
    shipping = Shipping("book", ["a"], to="dist/{arch}.tar")
    assert architecture(Recipe(), {"arch": "x86_64"}) == "amd64"
    assert "dist/amd64.tar" in shipping.places("a", "amd64")


# --- what shipping is told


@given(st.text() | NUMBERS, NUMBERS, NUMBERS, NUMBERS)
@example("", "0", "9" * 5000, "1")
@example("", "9" * 5000, "1", "1")
def test_any_size_is_a_number_or_an_error(text: str, tar: str, total: str, headers: str) -> None:
    said = f"{text}\nTotal bytes written: {total} (1KiB, 1MiB/s)\n"
    said += f"{MARK} tar {tar}\n{MARK} headers {headers}\n{MARK} sha256 {text}\n"
    for read in (read_size, read_digest):
        try:
            found = read(said)
            assert 0 <= (found if isinstance(found, int) else found.size) < 1 << 64
        except ShipError as e:
            checked(e)


class Said:
    """A stream that brings bytes, and an end."""

    def __init__(self, data: bytes, errors: str) -> None:
        self.data, self.errors = data, errors

    def read(self, size: int) -> bytes:
        data, self.data = self.data[:size], self.data[size:]
        return data

    def finish(self) -> tuple[int, str]:
        return 0, self.errors

    def close(self) -> None:
        pass


@given(st.binary(max_size=99), st.text(), NUMBERS)
def test_no_stream_passes_that_is_not_proved(data: bytes, errors: str, number: str) -> None:
    said = f"{errors}\n{MARK} tar {number}\n{MARK} tee 0\n{MARK} sha256 {'0' * 64}\n"
    with pytest.raises(ShipError) as caught:
        list(LayerStream(Said(data, said), len(data)))
    assert caught.value.hint


@pytest.mark.parametrize("said", ["9" * 5000, "9" * 12, "٣", "-1", "1.5", "", "\x1b[2J"])
def test_a_date_that_is_none(said: str) -> None:
    with (
        opened(f"say ready; take; say epoch {shlex.quote(said)}; say end 0; take") as session,
        pytest.raises(ShipError, match="no date") as caught,
    ):
        _epoch(session)
    checked(caught.value)
