"""What holds for resources whatever they are given, under every sh."""

from __future__ import annotations

import os
import posixpath
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rootwright.errors import StepError, UsageError
from rootwright.resource import (
    Absent,
    Device,
    Line,
    Resource,
    State,
    Symlink,
    quote,
)
from rootwright.resource.base import overlap, root_path
from tests.support.root import Root, own_directory, own_file

ME, MINE = os.getuid(), os.getgid()
FEW = settings(
    max_examples=15,
    # The shell is the same for every example.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@contextmanager
def fresh_root(shell: tuple[str, ...]) -> Iterator[Root]:
    """A root of its own for each example of a property."""
    with tempfile.TemporaryDirectory() as folder:
        yield Root.make(Path(folder).resolve(), shell)


# --- words -----------------------------------------------------------------------------------


words = st.binary(max_size=60).map(
    lambda b: b.replace(b"\0", b"").decode("utf-8", "surrogateescape")
)


@FEW
@given(st.lists(words, min_size=1, max_size=4))
@example(["'", '"$(id)"', "-n", "a\nb\n\n", "\udc81\udc82\udc88", "*", "\\", "~", "", "!x"])
def test_quoting_survives_any_bytes(shell: tuple[str, ...], given_words: list[str]) -> None:
    with fresh_root(shell) as root:
        shown = root.run(f"set -- {quote(*given_words)}\nprintf '%s\\0' \"$@\"").stdout
    assert shown == b"".join(w.encode("utf-8", "surrogateescape") + b"\0" for w in given_words)


def test_a_nul_is_refused() -> None:
    with pytest.raises(UsageError):
        quote("a\0b")


@given(st.text())
@example("/a/../../b")
@example("//a//./b/")
@example("/a\n")
def test_a_path_is_normal_or_refused(text: str) -> None:
    try:
        path = root_path(text, "here")
    except UsageError:
        return
    assert path == posixpath.normpath(path)
    assert path.startswith("/")
    assert not path.startswith("//")
    assert path != "/"
    assert not {"..", ".", ""} & set(path[1:].split("/"))


paths = st.lists(st.sampled_from(["a", "b", "ab"]), max_size=3).map(lambda p: "/" + "/".join(p))


@given(paths, paths)
def test_paths_overlap_when_one_contains_the_other(one: str, other: str) -> None:
    inside = (one.rstrip("/") + "/").startswith(other.rstrip("/") + "/")
    outside = (other.rstrip("/") + "/").startswith(one.rstrip("/") + "/")
    assert overlap((one,), (other,)) == (inside or outside)


@pytest.mark.parametrize("line", ["mode=81a4 hello", "mode='1'", "=3", "mode=81a4 $(id)"])
def test_a_probe_line_that_is_none_is_an_error(line: str) -> None:
    with pytest.raises(StepError):
        State.parse(line)


@pytest.mark.parametrize("words", [{"mode": "zz"}, {"mode": "81a4", "uid": "-"}])
def test_a_word_that_is_no_number_is_an_error(words: dict[str, str]) -> None:
    with pytest.raises(StepError):
        own_file("/a").compare(State(words))


def test_a_word_that_is_not_base64_is_an_error() -> None:
    with pytest.raises(StepError):
        Symlink("/a", "b").compare(State({"mode": "a1ff", "to": "====="}))


# --- paths never leave the root --------------------------------------------------------------

names = st.sampled_from(["a", "b", "c"])
targets = st.one_of(
    st.lists(st.sampled_from(["a", "b", "c", "..", "."]), min_size=1, max_size=5).map("/".join),
    st.lists(st.sampled_from(["a", "b", "c", "..", "."]), max_size=4).map(
        lambda p: "/" + "/".join(p)
    ),
    st.just("OUTSIDE"),
    st.just("/" + "../" * 12 + "etc"),
    st.just("../" * 12 + "etc/"),
    st.sampled_from(["//", "///a", "a//b/", "-e", "\\a", "*", "a\n", "\n"]),
)
trees = st.dictionaries(
    st.lists(names, min_size=1, max_size=3).map(tuple), st.one_of(st.none(), targets), max_size=7
)


def plant(root: Root, tree: dict[tuple[str, ...], str | None], outside: Path) -> None:
    """Make a hostile tree: folders (None) and links, as far as they do not contradict."""
    for parts, target in sorted(tree.items()):
        path = root.path.joinpath(*parts)
        if any(p.is_symlink() for p in [path, *path.parents]) or path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if target is None:
            path.mkdir()
        else:
            path.symlink_to(str(outside) if target == "OUTSIDE" else target)


def resolve(root: Path, path: str) -> Path | None:
    """Where a process inside the root would find a path's parent, or None; the model of rw_at."""
    rest, at, links = path.lstrip("/").split("/"), root, 0
    while len(rest) > 1:
        part = rest.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            if at == root:
                return None
            at = at.parent
        elif (at / part).is_symlink():
            links += 1
            if links > 40:
                return None
            to = str((at / part).readlink())
            at = root if to.startswith("/") else at
            rest = [*to.split("/"), *rest]
        else:
            at = at / part
    return at / rest[0]


@FEW
@given(trees, st.lists(names, min_size=1, max_size=4))
@example({("a",): "OUTSIDE"}, ["a", "b"])
@example({("a",): "OUTSIDE"}, ["a"])
@example({("a",): "a"}, ["a", "b"])
@example({("b",): None, ("b", "a"): "../../x"}, ["b", "a", "c"])
@example({("a",): "/b", ("b",): None}, ["a", "c"])
def test_a_path_never_leads_out_of_the_root(
    shell: tuple[str, ...], tree: dict[tuple[str, ...], str | None], parts: list[str]
) -> None:
    path = "/" + "/".join(parts)
    with fresh_root(shell) as root:
        outside = root.folder / "outside"
        outside.mkdir()
        (outside / "b").write_text("precious")
        outside.chmod(0o711)
        plant(root, tree, outside)
        found = root.run(f"rw_at {quote(path)} && printf '%s\\0' \"$rw_path\"").stdout
        wanted = resolve(root.path, path)
        assert found == (b"" if wanted is None else os.fsencode(wanted) + b"\0")
        root.force(
            [
                own_file(path, "mine"),
                Symlink(path, "mine"),
                Line(path, "mine"),
                Device(path, "p", owner=ME, group=MINE),
                Absent((path,)),
                own_directory(path, 0o700),
                Absent((path + "/*",)),
                Absent(("/*/*",)),
            ]
        )
        assert [p.name for p in outside.iterdir()] == ["b"]
        assert (outside / "b").read_text() == "precious"
        assert stat.S_IMODE(outside.stat().st_mode) == 0o711


# --- applying twice changes nothing ----------------------------------------------------------

contents = st.one_of(st.binary(max_size=40), st.sampled_from([b"", b"\n", b"a", b"a\n", b"\0\xff"]))
modes = st.sampled_from([0o644, 0o600, 0o755, 0o4755, 0o2711, 0o1777, 0o400, 0])
kinds = st.sampled_from(["absent", "file", "folder", "setgid", "link", "dangling", "out", "fifo"])


def before(root: Root, path: str, kind: str, content: bytes, mode: int) -> None:
    """Put something in the way."""
    at = root.path / path[1:]
    if kind == "file":
        at.write_bytes(content)
        at.chmod(mode)
    elif kind in ("folder", "setgid"):
        at.mkdir()
        at.chmod(0o2755 if kind == "setgid" else mode)
    elif kind == "fifo":
        os.mkfifo(at)
    elif kind != "absent":
        at.symlink_to({"link": "folder", "dangling": "gone\n", "out": "/../.."}[kind])


def make(path: str, kind: int, content: bytes, mode: int) -> Resource:
    text = content.decode("latin-1").replace("\n", " ").replace("\0", " ")
    return (
        own_file(path, content, mode),
        own_directory(path, mode | 0o700),
        Symlink(path, content.replace(b"\0", b"n").decode("utf-8", "surrogateescape") or "x"),
        Absent((path,)),
        Line(path, text),
        Line(path, text, match="^a"),
        Line(path, text, present=False),
        Device(path, "p", mode=mode, owner=ME, group=MINE),
        own_file(path, content, None),
    )[kind]


def snapshot(folder: Path) -> dict[str, tuple[object, ...]]:
    """What stands below a folder, bytes and all; FIFOs are made anew and so have no date."""
    seen: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        info = path.lstat()
        kind = stat.S_IFMT(info.st_mode)
        data = path.read_bytes() if kind == stat.S_IFREG else b""
        link = str(path.readlink()) if kind == stat.S_IFLNK else ""
        date = info.st_mtime_ns if kind in (stat.S_IFREG, stat.S_IFLNK) else 0
        seen[str(path)] = (info.st_mode, info.st_uid, info.st_gid, date, data, link)
    return seen


@FEW
@given(
    st.lists(
        st.tuples(kinds, contents, modes, st.integers(0, 8), contents, modes),
        min_size=1,
        max_size=4,
    )
)
@example([("file", b"10\n", 0o644, 4, b"1e1", 0o644)])
@example([("file", b"a\0b\n", 0o644, 4, b"c", 0o644)])
@example([("setgid", b"", 0o755, 1, b"", 0o755)])
@example([("dangling", b"", 0o755, 2, b"gone", 0o755)])
@example([("link", b"", 0o755, 0, b"", 0o755)])
@example([("link", b"", 0o755, 2, b"elsewhere", 0o755)])
def test_applying_a_plan_twice_changes_nothing(
    shell: tuple[str, ...], plan: list[tuple[str, bytes, int, int, bytes, int]]
) -> None:
    with fresh_root(shell) as root:
        (root.path / "folder").mkdir()
        resources = []
        for number, (was, old, old_mode, kind, new, mode) in enumerate(plan):
            before(root, f"/it{number}", was, old, old_mode)
            resources.append(make(f"/it{number}", kind, new, mode))
        made = []
        for resource, (status, state) in zip(resources, root.force(resources), strict=True):
            # Otherwise something stands in the way that no change may remove: said, not done.
            if status == 0:
                assert resource.compare(state) is None, resource
                made.append(resource)
        seen = snapshot(root.path)
        assert [status for status, _ in root.force(made)] == [0] * len(made)
        assert snapshot(root.path) == seen
        assert root.observe(made) == [None] * len(made)
        tmp = root.state / "tmp"
        assert not tmp.exists() or list(tmp.iterdir()) == []
