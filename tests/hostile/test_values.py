"""Values arrive as they are, or are refused before anything is touched."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from rootwright.errors import UsageError
from rootwright.inventory import HostSpec
from rootwright.resource import (
    Absent,
    Bootstrap,
    Command,
    Directory,
    File,
    Line,
    Resource,
    Symlink,
    Template,
)
from tests.support.plays import Bundle, begin, module, play, root, tree

pytestmark = pytest.mark.usefixtures("own_registry")

VALUES = {
    "quotes": "'\"`'\\\\''\"",
    "shell": "$(touch /tmp/pwned) `id` ${HOME} $$ ; & | > < ! ~ * ?",
    "lines": "one\n\n two\n\n\n",
    "no end": "no newline at the end",
    "returns": "a\r\nb\rc\x1e\x04\x1a\x03\x7f\x1b[31m",
    "dash": "-n -e --help",
    "percent": "%s %d %% \\n \\0101",
    "heredoc": "EOF\nEOF\n",
    "long": "x" * 65536,
    "wide": "é→\U0001f600\u202e",
    "raw": "\udcff\udcfe caf\udce9",
}


def values(key: str, value: str) -> list[Resource]:
    """Return resources that say a value in every way there is."""
    path = f"/etc/{key}"
    line = value.split("\n")[0][:4000]
    return [
        Directory(path),
        File(f"{path}/file", value),
        File(f"{path}/bytes", value.encode("utf-8", "surrogateescape") + b"\0\xff"),
        Template(f"{path}/template", "{{ value }}", values={"value": value}),
        Symlink(f"{path}/link", line),
        File(f"{path}/{name_of(value)}", "x\n"),
        Line(f"{path}/file", "-- a line of its own", present=False),
        Command(
            f"save {key}",
            f'printf %s "$VALUE" >"$rw_root{path}/env"',
            stamp=value,
            inside=False,
            env={"VALUE": value},
            reads=(f"{path}/env",),
            writes=(f"{path}/env",),
        ),
    ]


def name_of(value: str) -> str:
    """Return a file's name made of a value."""
    return value.split("\n")[0].replace("/", "")[:80]


def test_values_arrive_as_they_are(host: HostSpec, work_dir: str) -> None:
    mods = [tree(), *(module(key, *values(key, value)) for key, value in VALUES.items())]
    report = play(host, work_dir, *mods)
    assert report.error is None, "\n".join(report.error.lines())
    for key, value in VALUES.items():
        data = value.encode("utf-8", "surrogateescape")
        folder = root(work_dir) / "etc" / key
        for name in ("file", "template", "env"):
            assert (folder / name).read_bytes() == data, (key, name)
        assert (folder / "bytes").read_bytes() == data + b"\0\xff", key
        assert os.fsencode((folder / "link").readlink()) == data.split(b"\n")[0][:4000], key
        assert (folder / name_of(value)).read_bytes() == b"x\n", key
    again = play(host, work_dir, *mods)
    assert again.error is None
    assert again.round_trips == 1
    assert not Path("/tmp/pwned").exists()


@pytest.mark.parametrize(
    "resource",
    [
        lambda: File("/etc/a\0b", "x"),
        lambda: Symlink("/etc/link", "a\0b"),
        lambda: Line("/etc/line", "a\0b"),
        lambda: Absent(("/etc/a\0b",)),
        lambda: Command("nul", "echo a\0b", stamp="x"),
        lambda: Command("nul", "true", stamp="x", env={"A": "a\0b"}),
        lambda: Bootstrap("tree", "echo a\0b", stamp="x"),
    ],
)
def test_a_nul_is_refused_before_anything_is_touched(
    local: HostSpec, work_dir: str, resource: Callable[[], Resource]
) -> None:
    class Late(Bundle):
        """A resource that is made when the module is asked for it."""

        def resources(self) -> Iterable[Resource]:
            yield resource()

    report = play(local, work_dir, tree(), Late(items=()))
    assert isinstance(report.error, UsageError)
    assert report.exit_code == 2
    assert not root(work_dir).exists()


def test_a_nul_in_an_inventory_ends_with_2(home: Path, work_dir: str, tmp_path: Path) -> None:
    (tmp_path / "hosts.toml").write_text('[all]\nstamp = "a\\u0000b"\n')
    running = begin(tmp_path, work_dir, "--inventory", str(tmp_path / "hosts.toml"))
    assert running.end().code == 2
    assert not (tmp_path / "made").exists()
