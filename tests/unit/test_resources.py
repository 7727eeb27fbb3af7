"""Files, lines, folders, links and absences: what they see, make and never touch."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from rootwright.errors import StepError, UsageError
from rootwright.resource import (
    Absent,
    Change,
    Directory,
    File,
    Line,
    Symlink,
    Template,
)
from tests.support.root import Root, own_directory, own_file

ME, MINE = os.getuid(), os.getgid()


# --- files -----------------------------------------------------------------------------------


def test_a_file_is_created_then_left_alone(root: Root) -> None:
    (change,) = root.converge([own_file("/hello", "hi\n")])
    assert (change.summary, change.before, change.after) == ("create", "", "hi\n")
    inode = (root.path / "hello").stat().st_ino
    assert root.converge([own_file("/hello", "hi\n")]) == []
    assert (root.path / "hello").stat().st_ino == inode


def test_a_changed_file_shows_both_sides(root: Root) -> None:
    (root.path / "hello").write_text("old\n")
    (change,) = root.observe([own_file("/hello", "new\n")])
    assert change
    assert (change.summary, change.before, change.after) == ("new content", "old\n", "new\n")
    assert (root.path / "hello").read_text() == "old\n"


def test_a_file_replaces_a_link_and_not_what_it_leads_to(root: Root) -> None:
    (root.path / "folder").mkdir()
    (root.path / "real").write_text("real\n")
    for name in ("folder", "real"):
        (root.path / "link").unlink(missing_ok=True)
        (root.path / "link").symlink_to(name)
        root.converge([own_file("/link", "mine\n")])
        assert not (root.path / "link").is_symlink()
        assert (root.path / "link").read_text() == "mine\n"
    assert (root.path / "real").read_text() == "real\n"
    assert list((root.path / "folder").iterdir()) == []


def test_a_fifo_in_the_way_is_replaced_and_never_opened(root: Root) -> None:
    os.mkfifo(root.path / "hello")
    root.converge([own_file("/hello", "hi\n")])
    assert (root.path / "hello").read_text() == "hi\n"


def test_a_folder_in_the_way_of_a_file_is_an_error(root: Root) -> None:
    (root.path / "hello").mkdir()
    with pytest.raises(StepError, match="is a folder"):
        root.observe([own_file("/hello")])


def test_a_file_in_a_missing_folder_is_an_error(root: Root) -> None:
    with pytest.raises(StepError) as caught:
        root.converge([own_file("/no/such/file")])
    assert "the folder of /no/such/file does not exist" in caught.value.output


def test_a_file_keeps_its_mode_when_none_is_asked_for(root: Root) -> None:
    (root.path / "hello").write_text("old")
    (root.path / "hello").chmod(0o4751)
    root.converge([own_file("/hello", "new", None)])
    assert stat.S_IMODE((root.path / "hello").stat().st_mode) == 0o4751


def test_megabytes_arrive_whole(root: Root) -> None:
    content = bytes(range(256)) * 12000
    root.converge([own_file("/big", content)])
    assert (root.path / "big").read_bytes() == content
    assert root.observe([own_file("/big", content)]) == [None]


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


def test_a_file_may_be_wanted_only_where_there_is_one(root: Root) -> None:
    wanted = File("/hello", "new\n", 0o644, ME, MINE, if_exists=True)
    assert root.converge([wanted]) == []
    assert [status for status, _ in root.force([wanted])] == [0]
    assert not (root.path / "hello").exists()
    (root.path / "hello").write_text("old\n")
    (change,) = root.converge([wanted])
    assert (change.before, change.after) == ("old\n", "new\n")


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


@pytest.mark.parametrize(
    "text",
    [
        *("{{ nobody }}", "{{ a.b.c }}", "{% if %}", "{{ a["),
        *("{{ 1 + a }}", "{% for one in 7 %}{% endfor %}", b"\xff"),
    ],
)
def test_what_a_template_cannot_do_is_an_error(text: str | bytes) -> None:
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
    wanted = Line("/conf", "b", match="(")
    # Nothing is known of what it would become.
    assert root.observe([wanted]) == [Change("set line")]
    with pytest.raises(StepError) as caught:
        root.converge([wanted])
    assert "cannot edit /conf: is its match an extended regular" in caught.value.output
    assert (root.path / "conf").read_text() == "a\n"


def test_a_line_has_no_newline() -> None:
    with pytest.raises(UsageError):
        Line("/conf", "a\nb")


# --- folders and links -----------------------------------------------------------------------


def test_an_owner_may_be_a_number_in_a_text(root: Root) -> None:
    wanted = Directory("/d", 0o755, str(ME), str(MINE))
    root.converge([wanted])
    assert root.observe([wanted]) == [None]


def test_a_folder(root: Root) -> None:
    (change,) = root.converge([own_directory("/d", 0o1777)])
    assert change.summary == "create, mode 1777"
    assert stat.S_IMODE((root.path / "d").stat().st_mode) == 0o1777
    root.converge([own_directory("/d", 0o2750)])
    root.converge([own_directory("/d", 0o750)])
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
