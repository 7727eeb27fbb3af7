"""Resources under every sh that they promise to run under: what they see, make, and never touch."""

from __future__ import annotations

import base64
import os
import posixpath
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rootwright.errors import StepError, UsageError
from rootwright.resource import (
    Absent,
    Bootstrap,
    Command,
    Device,
    Directory,
    File,
    Line,
    Resource,
    State,
    Symlink,
    Template,
    quote,
)
from rootwright.resource.base import overlap, root_path
from tests.support.root import SHELLS, Root, need_root, need_shell

ME, MINE = os.getuid(), os.getgid()
FEW = settings(
    max_examples=25,
    deadline=None,
    # The shell is the same for every example.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(params=SHELLS, ids=" ".join)
def shell(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return need_shell(request.param)


@pytest.fixture
def root(tmp_path: Path, shell: tuple[str, ...]) -> Root:
    return Root.make(tmp_path, shell)


@contextmanager
def fresh_root(shell: tuple[str, ...]) -> Iterator[Root]:
    """A root of its own for each example of a property."""
    with tempfile.TemporaryDirectory() as folder:
        yield Root.make(Path(folder).resolve(), shell)


def file(path: str, content: str | bytes = "x\n", mode: int | None = 0o644) -> File:
    return File(path, content, mode, ME, MINE)


def directory(path: str, mode: int = 0o755) -> Directory:
    return Directory(path, mode, ME, MINE)


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
        file("/a").compare(State(words))


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
                file(path, "mine"),
                Symlink(path, "mine"),
                Line(path, "mine"),
                Device(path, "p", owner=ME, group=MINE),
                Absent((path,)),
                directory(path, 0o700),
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
        file(path, content, mode),
        directory(path, mode | 0o700),
        Symlink(path, content.replace(b"\0", b"n").decode("utf-8", "surrogateescape") or "x"),
        Absent((path,)),
        Line(path, text),
        Line(path, text, match="^a"),
        Line(path, text, present=False),
        Device(path, "p", mode=mode, owner=ME, group=MINE),
        file(path, content, None),
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


# --- files -----------------------------------------------------------------------------------


def test_a_file_is_created_then_left_alone(root: Root) -> None:
    (change,) = root.converge([file("/hello", "hi\n")])
    assert (change.summary, change.before, change.after) == ("create", "", "hi\n")
    inode = (root.path / "hello").stat().st_ino
    assert root.converge([file("/hello", "hi\n")]) == []
    assert (root.path / "hello").stat().st_ino == inode


def test_a_changed_file_shows_both_sides(root: Root) -> None:
    (root.path / "hello").write_text("old\n")
    (change,) = root.observe([file("/hello", "new\n")])
    assert change
    assert (change.summary, change.before, change.after) == ("new content", "old\n", "new\n")
    assert (root.path / "hello").read_text() == "old\n"


def test_a_file_replaces_a_link_and_not_what_it_leads_to(root: Root) -> None:
    (root.path / "folder").mkdir()
    (root.path / "real").write_text("real\n")
    for name in ("folder", "real"):
        (root.path / "link").unlink(missing_ok=True)
        (root.path / "link").symlink_to(name)
        root.converge([file("/link", "mine\n")])
        assert not (root.path / "link").is_symlink()
        assert (root.path / "link").read_text() == "mine\n"
    assert (root.path / "real").read_text() == "real\n"
    assert list((root.path / "folder").iterdir()) == []


def test_a_fifo_in_the_way_is_replaced_and_never_opened(root: Root) -> None:
    os.mkfifo(root.path / "hello")
    root.converge([file("/hello", "hi\n")])
    assert (root.path / "hello").read_text() == "hi\n"


def test_a_folder_in_the_way_of_a_file_is_an_error(root: Root) -> None:
    (root.path / "hello").mkdir()
    with pytest.raises(StepError, match="is a folder"):
        root.observe([file("/hello")])


def test_a_file_in_a_missing_folder_is_an_error(root: Root) -> None:
    with pytest.raises(StepError) as caught:
        root.converge([file("/no/such/file")])
    assert "the folder of /no/such/file does not exist" in caught.value.output


def test_a_file_keeps_its_mode_when_none_is_asked_for(root: Root) -> None:
    (root.path / "hello").write_text("old")
    (root.path / "hello").chmod(0o4751)
    root.converge([file("/hello", "new", None)])
    assert stat.S_IMODE((root.path / "hello").stat().st_mode) == 0o4751


def test_megabytes_arrive_whole(root: Root) -> None:
    content = bytes(range(256)) * 12000
    root.converge([file("/big", content)])
    assert (root.path / "big").read_bytes() == content
    assert root.observe([file("/big", content)]) == [None]


def test_names_mean_what_the_root_says(root: Root) -> None:
    (root.path / "etc").mkdir()
    (root.path / "etc/passwd").write_text(f"root:x:99999:0\nme:x:{ME}:{MINE}::/:\n")
    (root.path / "etc/group").write_text(f"us:x:{MINE}:\n")
    wanted = File("/hello", "hi", 0o644, "me", "us")
    root.converge([wanted])
    assert root.observe([wanted]) == [None]
    stranger = File("/hello", "hi", 0o644, "nobody-here", "us")
    assert root.observe([stranger]) != [None]
    with pytest.raises(StepError) as caught:
        root.converge([stranger])
    assert "the root has no user nobody-here" in caught.value.output


def test_content_has_a_limit() -> None:
    with pytest.raises(UsageError):
        File("/big", b"x" * (16 * 1024 * 1024 + 1))


@pytest.mark.parametrize("mode", [-1, 0o10000])
def test_a_mode_is_permission_bits(mode: int) -> None:
    with pytest.raises(UsageError):
        File("/a", "", mode)


# --- templates -------------------------------------------------------------------------------


def test_a_template_is_rendered(root: Root) -> None:
    text = "{% for one in many %}\n{{ one }}={{ last }}\n{% endfor %}\n"
    wanted = Template(
        "/made", text, 0o644, ME, MINE, values={"many": ["a", "b<"], "last": "é\udc80"}
    )
    root.converge([wanted])
    assert (root.path / "made").read_bytes() == "a=é\udc80\nb<=é\udc80\n".encode(
        "utf-8", "surrogateescape"
    )
    assert root.observe([wanted]) == [None]


@pytest.mark.parametrize("text", ["{{ nobody }}", "{{ a.b.c }}", "{% if %}", "{{ a["])
def test_what_a_template_cannot_name_is_an_error(text: str) -> None:
    with pytest.raises(UsageError, match="cannot be rendered"):
        Template("/made", text, values={"a": {}}).probe()


# --- lines -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("was", "line", "match", "present", "becomes"),
    [
        ("a\nb\n", "c", "", True, "a\nb\nc\n"),
        ("a\nb\n", "b", "", True, None),
        ("a\nb", "c", "", True, "a\nb\nc\n"),
        ("", "c", "", True, "c\n"),
        ("#x=1\nx=2\n", "x=3", "^#?x=", True, "#x=1\nx=3\n"),
        ("x=3\n#x=1\n", "x=3", "^#?x=", True, "x=3\nx=3\n"),
        ("x=3\ny=1\n", "x=3", "^#?x=", True, None),
        ("a\nb\na\n", "a", "", False, "b\n"),
        ("#x=1\nx=2\ny\n", "x=9", "^#?x=", False, "y\n"),
        ("a\n", "z", "", False, None),
        ("10\n", "1e1", "", True, "10\n1e1\n"),
        ("010\n", "10", "", False, None),
        ("a\\n\n", "a\\n", "", True, None),
        ("a\n", "b\\tc\\", "", True, "a\nb\\tc\\\n"),
        ("a&b\n", "x&\\1", "^a", True, "x&\\1\n"),
        ("\x80\xff é\n".encode("latin-1").decode("latin-1"), "é", "", True, None),
    ],
)
def test_a_line(
    root: Root, was: str, line: str, match: str, present: bool, becomes: str | None
) -> None:
    path = root.path / "conf"
    path.write_text(was)
    path.chmod(0o640)
    wanted = Line("/conf", line, match, present)
    if "é" in was:
        becomes = was + line + "\n"
    (change,) = root.observe([wanted])
    assert (change is None) == (becomes is None)
    if change:
        assert (change.before, change.after) == (was, becomes)
    root.converge([wanted])
    assert path.read_text() == (was if becomes is None else becomes)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert root.observe([wanted]) == [None]


def test_a_line_needs_its_file(root: Root) -> None:
    assert root.observe([Line("/conf", "a", present=False)]) == [None]
    with pytest.raises(StepError) as caught:
        root.converge([Line("/conf", "a")])
    assert "is no regular file" in caught.value.output


def test_a_line_of_nonsense_is_an_error(root: Root) -> None:
    (root.path / "conf").write_text("a\n")
    with pytest.raises(StepError) as caught:
        root.converge([Line("/conf", "b", match="(")])
    assert "cannot edit /conf" in caught.value.output
    assert (root.path / "conf").read_text() == "a\n"


def test_a_line_has_no_newline() -> None:
    with pytest.raises(UsageError):
        Line("/conf", "a\nb")


# --- folders and links -----------------------------------------------------------------------


def test_a_folder(root: Root) -> None:
    (change,) = root.converge([directory("/d", 0o1777)])
    assert change.summary == "create, mode 1777"
    assert stat.S_IMODE((root.path / "d").stat().st_mode) == 0o1777
    root.converge([directory("/d", 0o2750)])
    root.converge([directory("/d", 0o750)])
    assert stat.S_IMODE((root.path / "d").stat().st_mode) == 0o750


def test_a_link(root: Root) -> None:
    (root.path / "folder").mkdir()
    (root.path / "l").symlink_to("folder")
    (change,) = root.converge([Symlink("/l", "-x y\n")])
    assert (change.before, change.after) == ("→ folder\n", "→ -x y\n\n")
    assert str((root.path / "l").readlink()) == "-x y\n"
    assert list((root.path / "folder").iterdir()) == []
    assert root.observe([Symlink("/l", "-x y\n")]) == [None]


def test_a_link_to_what_must_exist(root: Root) -> None:
    wanted = Symlink("/l", "../usr/../x", must_exist=True)
    with pytest.raises(StepError) as caught:
        root.converge([wanted])
    assert "/x does not exist in the root" in caught.value.output
    (root.path / "x").touch()
    root.converge([wanted])
    assert str((root.path / "l").readlink()) == "../usr/../x"


def test_a_folder_is_never_replaced_by_a_link(root: Root) -> None:
    (root.path / "l").mkdir()
    with pytest.raises(StepError, match="is a folder"):
        root.observe([Symlink("/l", "x")])


# --- what must not be there ------------------------------------------------------------------


def test_absent_takes_wildcards_and_keeps(root: Root) -> None:
    for name in ("a.log", "b.log", "keep.log", ".hidden.log", "a b.log", "c.txt", "-rf.log"):
        (root.path / name).touch()
    (root.path / "d.log").mkdir()
    (root.path / "d.log/x").touch()
    wanted = Absent(("/*.log", "/nothing/*/here"), keep="/keep*")
    (change,) = root.converge([wanted])
    assert change.summary == "remove 5 paths"
    assert sorted(p.name for p in root.path.iterdir()) == [".hidden.log", "c.txt", "keep.log"]
    assert root.observe([wanted]) == [None]


def test_absent_does_not_reach_through_a_link(root: Root) -> None:
    outside = root.folder / "outside"
    outside.mkdir()
    (outside / "b").touch()
    (root.path / "in").mkdir()
    (root.path / "in/b").touch()
    (root.path / "out").symlink_to(outside)
    (root.path / "here").symlink_to("in")
    assert root.observe([Absent(("/o*/b", "/h*/b"))]) == [None]
    root.converge([Absent(("/*/b",))])
    assert (outside / "b").exists()
    assert not (root.path / "in/b").exists()
    root.converge([Absent(("/out", "/here"))])
    assert (outside / "b").exists()


def test_absent_works_below_a_work_folder_that_is_a_link(
    tmp_path: Path, shell: tuple[str, ...]
) -> None:
    Root.make(tmp_path / "real", shell)
    (tmp_path / "alias").symlink_to("real")
    root = Root(tmp_path / "alias", shell)
    (root.path / "d").mkdir()
    (root.path / "d/x").touch()
    root.converge([Absent(("/*/x",))])
    assert not (root.path / "d/x").exists()


def test_absent_names_fifty_and_counts_the_rest(root: Root) -> None:
    for number in range(60):
        (root.path / f"f{number:02}").touch()
    (change,) = root.observe([Absent(("/f*",))])
    assert change
    assert change.before
    assert change.before.endswith("/f49\n… and 10 more\n")


def test_absent_takes_a_tuple() -> None:
    wrong: Any = "/a"
    with pytest.raises(UsageError):
        Absent(wrong)


# --- devices ---------------------------------------------------------------------------------


def test_a_device_is_made_or_recorded(root: Root) -> None:
    (root.path / "dev").mkdir()
    null = Device("/dev/null", "c", 1, 3, owner=ME, group=MINE)
    root.converge([null])
    made = root.path / "dev/null"
    if made.exists():
        assert (os.major(made.stat().st_rdev), os.minor(made.stat().st_rdev)) == (1, 3)
    else:
        assert (root.state / "devices").read_text() == f"/dev/null c:1:3:666:{ME}:{MINE}\n"
    assert root.observe([null]) == [None]
    other = Device("/dev/null", "c", 1, 5, owner=ME, group=MINE)
    assert root.observe([other]) != [None]
    root.converge([other])
    assert root.observe([null, other])[1] is None


def test_devices_that_cannot_be_made_are_recorded_once(root: Root) -> None:
    (root.path / "dev").mkdir()
    names = ["/dev/a.b", "/dev/a+b", "/dev/a|b"]
    wanted = [Device(name, "c", 1, 3, owner=ME, group=MINE) for name in names]
    # Where mknod is forbidden, as in most containers.
    forbid = "mknod() { return 1; }\n"
    for device in [*wanted, *wanted]:
        assert root.run(forbid + device.converge()).returncode == 0
    lines = (root.state / "devices").read_text().splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted(names)
    assert root.observe(wanted) == [None] * 3


def test_a_record_goes_when_the_device_comes(root: Root) -> None:
    need_root("device nodes")
    (root.path / "dev").mkdir()
    null = Device("/dev/null", "c", 1, 3)
    assert root.run("mknod() { return 1; }\n" + null.converge()).returncode == 0
    assert root.run(null.converge()).returncode == 0
    if (root.path / "dev/null").exists():
        assert (root.state / "devices").read_text() == ""


def test_a_kind_of_device() -> None:
    wrong: Any = "q"
    with pytest.raises(UsageError):
        Device("/dev/x", wrong)
    with pytest.raises(UsageError):
        Device("/dev/x\ty", "c")


# --- commands --------------------------------------------------------------------------------


def test_a_command_without_a_guard_cannot_be() -> None:
    with pytest.raises(UsageError, match="exactly one guard"):
        Command("go", "true")
    with pytest.raises(UsageError, match="exactly one guard"):
        Command("go", "true", creates="/a", unless="true")


def test_a_stamped_command_runs_once_a_stamp(root: Root) -> None:
    script = 'echo ran >>"$rw_root/log"'
    for stamp, runs in (("one\n", 1), ("one\n", 1), ("two\n", 2)):
        root.converge([Command("go on", script, stamp=stamp, inside=False)])
        assert (root.path / "log").read_text() == "ran\n" * runs
    (change,) = root.observe([Command("go on", script, stamp="three\n", inside=False)])
    assert change
    assert (change.before, change.after) == ("two\n", "three\n")


def test_a_command_that_creates(root: Root) -> None:
    wanted = Command("go", 'echo "$GREETING" >"$rw_root/made"', creates="/made", inside=False,
                     env={"GREETING": "it's"})  # fmt: skip
    assert len(root.converge([wanted])) == 1
    assert (root.path / "made").read_text() == "it's\n"
    assert root.converge([wanted]) == []


def test_a_failing_command_records_nothing(root: Root) -> None:
    wanted = Command("go", "false; true", stamp="x", inside=False)
    with pytest.raises(StepError):
        root.converge([wanted])
    assert root.observe([wanted]) != [None]


def test_a_command_gets_no_input(root: Root) -> None:
    root.converge([Command("go", "! read -r line", stamp="x", inside=False)])


# --- bootstraps ------------------------------------------------------------------------------


def test_a_bootstrap_takes_the_place_of_the_root_before(root: Root) -> None:
    (root.path / "old").touch()
    script = 'echo 7 >"$rw_state/epoch"; touch "$rw_root/new" "$TMPDIR/left"'
    wanted = Bootstrap("root", script, stamp="one=1\n")
    assert len(root.converge([wanted])) == 1
    assert [p.name for p in root.path.iterdir()] == ["new"]
    assert sorted(p.name for p in root.state.iterdir()) == ["epoch", "rootfs", "stamps"]
    assert root.converge([wanted]) == []
    assert root.run("echo $rw_epoch").stdout == b"7\n"


def test_a_bootstrap_that_fails_leaves_the_root_before(root: Root) -> None:
    (root.path / "old").touch()
    wanted = Bootstrap("root", 'touch "$rw_root/new"; false; true', stamp="one=1\n")
    with pytest.raises(StepError):
        root.converge([wanted])
    assert [p.name for p in root.path.iterdir()] == ["old"]
    assert root.observe([wanted]) != [None]


def test_a_bootstrap_without_a_stamp_cannot_be() -> None:
    with pytest.raises(UsageError):
        Bootstrap("root", "true", creates="/bin/sh")


# --- guards, inside a root -------------------------------------------------------------------


@pytest.fixture
def busybox_root(root: Root) -> Root:
    need_root("chroot")
    need_shell(("busybox",))
    for name in ("bin", "proc", "sys", "dev", "run", "tmp"):
        (root.path / name).mkdir()
    busybox = shutil.which("busybox") or ""
    linked = subprocess.run(["ldd", busybox], capture_output=True, text=True, check=False).stdout
    for needed in [busybox, *re.findall(r"/\S+", linked)]:
        (root.path / needed[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(needed, root.path / needed[1:])
    for name in ("sh", "cat", "touch"):
        (root.path / "bin" / name).symlink_to(busybox)
    return root


def test_a_guard_sees_the_root_and_nothing_of_the_caller(
    busybox_root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODD", "1")
    monkeypatch.setenv("LC_ALL", "xx_YY")
    (busybox_root.path / "here").touch()
    for script, holds in (
        ("[ -e /here ]", True),
        ("[ -e /there ]", False),
        ('[ -z "${ODD-}" ]', True),
        ('[ "$LC_ALL" = C.UTF-8 ]', True),
        ("false; true", False),
        ('echo "$NOBODY"', False),
    ):
        wanted = Command("go", "true", unless=script)
        assert (busybox_root.observe([wanted]) == [None]) == holds, script


def test_a_guard_in_a_root_that_is_not_there_yet_says_no(root: Root) -> None:
    assert root.observe([Command("go", "true", unless="true")]) != [None]


def test_a_command_runs_inside_and_leaves_no_mount(busybox_root: Root) -> None:
    mounts = Path("/proc/self/mounts").read_text()
    script = 'cat /proc/mounts >/list; echo "$$ $SOURCE_DATE_EPOCH $A" >/seen; touch /tmp/x /run/x'
    wanted = Command("go", script, creates="/seen", env={"A": "it's"})
    Root(busybox_root.folder, busybox_root.shell, epoch="123").converge([wanted])
    assert (busybox_root.path / "seen").read_text() == "1 123 it's\n"
    assert " /proc " in (busybox_root.path / "list").read_text()
    assert Path("/proc/self/mounts").read_text() == mounts
    for name in ("proc", "sys", "dev", "run", "tmp"):
        assert list((busybox_root.path / name).iterdir()) == []


def test_without_an_epoch_there_is_no_variable(busybox_root: Root) -> None:
    wanted = Command("go", 'echo "${SOURCE_DATE_EPOCH-unset}" >/seen', creates="/seen")
    busybox_root.converge([wanted])
    assert (busybox_root.path / "seen").read_text() == "unset\n"


def test_files_made_inside_are_readable_whatever_the_caller_s_mask(busybox_root: Root) -> None:
    mask = os.umask(0o077)
    try:
        busybox_root.converge([Command("go", "touch /seen", creates="/seen")])
        busybox_root.converge([Command("out", 'touch "$rw_root/o"', creates="/o", inside=False)])
    finally:
        os.umask(mask)
    assert stat.S_IMODE((busybox_root.path / "seen").stat().st_mode) == 0o644
    assert stat.S_IMODE((busybox_root.path / "o").stat().st_mode) == 0o644


def test_the_content_is_no_argument_of_any_process(root: Root) -> None:
    # Arguments have a limit and are seen by every user of the host.
    content = "s3cret" * 40000
    script = file("/hello", content).converge()
    assert base64.b64encode(content.encode()).decode() in script
    root.converge([file("/hello", content)])
    assert (root.path / "hello").read_text() == content
