"""Plays of small playbooks, here and over SSH: what is seen, what is made, and nothing else."""

from __future__ import annotations

import json
import os
import signal
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from rootwright.errors import Interrupted, StepError, UsageError
from rootwright.inventory import HostSpec
from rootwright.module import REGISTRY, Module
from rootwright.playbook import Playbook, Recipe
from rootwright.report import EventLog, HostReport, Reporters
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
from rootwright.run import RunOptions, run
from tests.support.books import waiting_book
from tests.support.leftovers import Inside, await_nothing
from tests.support.program import Running
from tests.support.sshd import Sshd


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    """The modules of a test are nobody else's."""
    known = dict(REGISTRY)
    yield
    REGISTRY.clear()
    REGISTRY.update(known)


@pytest.fixture(params=["local", "ssh"])
def host(request: pytest.FixtureRequest, home: Path, work_dir: str) -> HostSpec:
    if request.param == "local":
        return HostSpec("localhost")
    server: Sshd = request.getfixturevalue("sshd")
    (home / ".ssh/known_hosts").write_text(server.known_hosts_line())
    return HostSpec("box", server.host, server.port, "root", str(server.client_key))


@pytest.fixture
def local(home: Path, work_dir: str) -> HostSpec:
    return HostSpec("localhost")


@dataclass(frozen=True, kw_only=True)
class Bundle(Module):
    """Resources."""

    items: tuple[Resource, ...]

    def resources(self) -> Iterable[Resource]:
        return self.items


def module(title: str, *resources: Resource) -> Module:
    """Return a module of that name with these resources."""
    named = cast("type[Bundle]", type(title.title().replace(" ", ""), (Bundle,), {}))
    return named(items=resources)


def tree(stamp: str = "one\n", script: str = "") -> Module:
    """Return the module that makes a root with a few folders."""
    script = f'mkdir -p "$rw_root/etc" "$rw_root/usr/bin"\n{script}'
    return module("tree", Bootstrap("tree", script, stamp=stamp))


def play(
    host: HostSpec,
    work_dir: str,
    *modules: Module,
    before: Sequence[Module] = (),
    events: Path | None = None,
    check: bool = False,
    fresh: bool = False,
) -> HostReport:
    """Play modules in a root on a host; return what became of it.

    before: modules for the host itself.
    """

    def recipe(facts: Mapping[str, str]) -> Recipe:
        assert facts["os"]
        return Recipe(host=before, root=modules)

    book = Playbook("book", "", "", {}, (), {}, recipe)
    options = RunOptions(ask=lambda _: "", work_dir=work_dir, check=check, fresh=fresh)
    with Reporters([EventLog(events)] if events else []) as reporter:
        report = run(book, [(host, {})], options, reporter)
    (one,) = report.hosts
    return one


def states(report: HostReport) -> dict[str, str]:
    return {module.name: module.state for module in report.modules}


def root(work_dir: str) -> Path:
    return Path(work_dir, "book/tree/rootfs")


def snapshot(folder: Path | str) -> dict[str, tuple[object, ...]]:
    """Return all there is below a folder, with dates that tell whether it was touched."""
    seen: dict[str, tuple[object, ...]] = {}
    for path in [Path(folder), *Path(folder).rglob("*")]:
        info = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(info.st_mode) else b""
        link = path.readlink() if path.is_symlink() else ""
        seen[str(path)] = (info.st_mode, info.st_mtime_ns, info.st_ctime_ns, content, link)
    return seen


FILES = [module(f"file {n}", File(f"/etc/file{n}", f"this is {n}\n")) for n in range(4)]


# --- one look, then only the changes


def test_a_play_costs_one_round_trip_and_one_for_each_module_that_changes(
    host: HostSpec, work_dir: str
) -> None:
    mods = [tree(), *FILES]
    first = play(host, work_dir, *mods)
    assert first.error is None
    assert set(states(first).values()) == {"changed"}
    assert first.round_trips == 1 + len(mods)
    made = snapshot(root(work_dir))

    again = play(host, work_dir, *mods)
    assert again.error is None
    assert set(states(again).values()) == {"ok"}
    assert again.round_trips == 1
    assert snapshot(root(work_dir)) == made

    (root(work_dir) / "etc/file1").write_text("by hand\n")
    (root(work_dir) / "etc/file3").unlink()
    (root(work_dir) / "etc/file2").chmod(0o600)
    seen = snapshot(work_dir)
    check = play(host, work_dir, *mods, check=True)
    assert [name for name, state in states(check).items() if state != "ok"] == [
        "file1",
        "file2",
        "file3",
    ]
    assert check.would_change == 3
    assert check.round_trips == 1
    assert snapshot(work_dir) == seen
    one, two, three = (m.changes[0] for m in check.modules if m.changes)
    assert (one.before, one.after) == ("by hand\n", "this is 1\n")
    assert (three.before, three.after) == ("", "this is 3\n")
    assert "0600 → 0644" in two.summary

    repaired = play(host, work_dir, *mods)
    assert repaired.round_trips == 1 + 3
    assert repaired.changed == 3
    assert [m.changes for m in repaired.modules] == [m.changes for m in check.modules]
    assert play(host, work_dir, *mods).changed == 0


def test_a_check_of_nothing_makes_nothing_and_says_what_depends(
    local: HostSpec, work_dir: str
) -> None:
    above = Path(work_dir).parent
    before = snapshot(above)
    report = play(local, work_dir, tree(), *FILES, check=True)
    assert snapshot(above) == before
    assert report.error is None
    assert set(states(report).values()) == {"would change"}
    assert [m.changes[0].depends_on for m in report.modules] == [None, *["tree"] * 4]


def test_what_an_earlier_module_overwrites_is_looked_at_again_in_the_same_request(
    local: HostSpec, work_dir: str
) -> None:
    wanted = module("wanted", File("/etc/conf", "ours\n"), File("/etc/far", "far\n"))
    assert play(local, work_dir, tree(), wanted).error is None
    package = module(
        "package",
        Command(
            "install",
            'echo theirs >"$rw_root/etc/conf"',
            stamp="2",
            inside=False,
            writes=("/etc/conf",),
        ),
    )
    check = play(local, work_dir, tree(), package, wanted, check=True)
    assert states(check) == {"tree": "ok", "package": "would change", "wanted": "would change"}
    assert [c.depends_on for c in check.modules[2].changes] == ["package"]
    report = play(local, work_dir, tree(), package, wanted)
    assert report.error is None
    assert states(report) == {"tree": "ok", "package": "changed", "wanted": "changed"}
    assert report.round_trips == 3
    assert (root(work_dir) / "etc/conf").read_text() == "ours\n"
    assert play(local, work_dir, tree(), package, wanted).round_trips == 1


def test_the_hosts_own_root_is_another_and_comes_first(
    local: HostSpec, work_dir: str, tmp_path: Path
) -> None:
    tool = tmp_path / "tool"
    uses = tree(script=f'cp {tool} "$rw_root/etc/tool"')
    report = play(local, work_dir, uses, before=[module("tool", File(str(tool), "v1\n"))])
    assert report.error is None
    assert (root(work_dir) / "etc/tool").read_text() == "v1\n"
    tool.write_text("v2\n")
    report = play(local, work_dir, uses, before=[module("tool", File(str(tool), "v1\n"))])
    assert states(report) == {"tool": "changed", "tree": "ok"}
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["tool"]


# --- what fails


def test_a_failure_keeps_what_was_made_and_skips_the_rest(
    host: HostSpec, work_dir: str, tmp_path: Path
) -> None:
    fault = tmp_path / "fault"
    fault.touch()
    middle = module(
        "middle",
        File("/etc/before", "x\n"),
        Command(
            "try it", f"echo trying; echo bad luck >&2; ! test -e {fault}", stamp="1", inside=False
        ),
        File("/etc/after", "x\n"),
    )
    mods = [tree(), FILES[0], middle, FILES[1]]
    events = tmp_path / "events"
    report = play(host, work_dir, *mods, events=events)
    assert states(report) == {
        "tree": "changed", "file0": "changed", "middle": "failed", "file1": "skipped",
    }  # fmt: skip
    error = report.error
    assert isinstance(error, StepError)
    assert error.what == "command try it failed"
    assert error.where == f"{host.name}, module middle"
    assert error.output == "trying\nbad luck"
    assert error.command.startswith("sh -euc 'echo trying")
    assert error.hint
    assert report.exit_code == 1
    told = [json.loads(line) for line in events.read_text().splitlines()]
    assert [e["line"] for e in told if e["event"] == "output"] == ["trying", "bad luck"]
    assert sorted(p.name for p in (root(work_dir) / "etc").iterdir()) == ["before", "file0"]
    fault.unlink()
    report = play(host, work_dir, *mods)
    assert report.error is None
    assert states(report) == {"tree": "ok", "file0": "ok", "middle": "changed", "file1": "changed"}


class Stubborn(File):
    """A file that comes out otherwise."""

    def converge(self) -> str:
        return File(self.path, "something else\n").converge()


class Broken(File):
    """A file whose probe kills the shell it runs in."""

    def probe(self) -> str:
        return "printf 'mode='; kill -9 $(exec sh -c 'echo $PPID')"


@pytest.mark.parametrize(
    ("resource", "difference"),
    [
        (Stubborn("/etc/x", "as asked\n"), "it is:\nsomething else\n\nit should be:\nas asked\n"),
        (Command("never", "true", creates="/etc/never", inside=False), ""),
    ],
)
def test_a_change_that_does_not_converge_is_an_error_that_says_what_differs(
    local: HostSpec, work_dir: str, resource: Resource, difference: str
) -> None:
    report = play(local, work_dir, tree(), module("stubborn", resource), FILES[0])
    assert states(report) == {"tree": "changed", "stubborn": "failed", "file0": "skipped"}
    assert report.error
    assert f"{resource.label} is still not what was asked for" in report.error.what
    assert report.error.output == difference


def test_what_cannot_be_seen_is_an_error_and_never_made_anew(
    local: HostSpec, work_dir: str
) -> None:
    assert play(local, work_dir, tree(), FILES[0]).error is None
    seen = snapshot(work_dir)
    for check in (False, True):
        report = play(
            local, work_dir, module("broken", Broken("/etc/x", "")), tree(), FILES[0], check=check
        )
        assert isinstance(report.error, StepError)
        assert "could not say what is there" in report.error.what
    assert {k: v for k, v in snapshot(work_dir).items() if "lock" not in k} == {
        k: v for k, v in seen.items() if "lock" not in k
    }


def test_an_environment_that_makes_no_sense(
    local: HostSpec, work_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "$(reboot)")
    report = play(local, work_dir, tree())
    assert isinstance(report.error, UsageError)
    assert report.exit_code == 2
    assert not Path(work_dir).exists()


# --- a root that is out to deceive

HARMLESS = ["fifo", "device", "socket", "link to a file"]
REFUSED = ["link above", "link absolute", "parent link", "folder"]


@pytest.mark.parametrize("trap", [*HARMLESS, *REFUSED])
def test_a_hostile_root_leads_nowhere_else(
    local: HostSpec, work_dir: str, tmp_path: Path, trap: str
) -> None:
    outside = tmp_path / "outside"
    (outside / "etc").mkdir(parents=True)
    (outside / "etc/conf").write_text("theirs\n")
    (outside / "etc/old").write_text("theirs\n")
    assert play(local, work_dir, tree()).error is None
    etc = root(work_dir) / "etc"
    conf = etc / "conf"
    up = "../" * 20
    if trap == "link above":
        etc.rmdir()
        etc.symlink_to(up + str(outside / "etc"))
    elif trap == "link absolute":
        etc.rmdir()
        etc.symlink_to(outside / "etc")
    elif trap == "parent link":
        (root(work_dir) / "usr/bin").rmdir()
        (root(work_dir) / "usr/bin").symlink_to(up + str(outside))
        etc.rmdir()
        etc.symlink_to("usr/bin/etc")
    elif trap == "fifo":
        os.mkfifo(conf)
    elif trap == "device":
        try:
            os.mknod(conf, 0o666 | stat.S_IFCHR, os.makedev(1, 5))
        except PermissionError:
            os.mkfifo(conf)  # a container: a device is not to be had
    elif trap == "socket":
        os.mknod(conf, 0o666 | stat.S_IFSOCK)
    elif trap == "folder":
        (conf / "full").mkdir(parents=True)
    else:
        conf.symlink_to(up + str(outside / "etc/conf"))
    before = snapshot(outside)
    modules = [
        module("conf", File("/etc/conf", "ours\n")),
        module("line", Line("/etc/conf", "more")),
        module("folder", Directory("/etc/folder")),
        module("link", Symlink("/etc/link", "conf")),
        module("gone", Absent(("/etc/old", "/etc/o*"))),
    ]
    if trap in HARMLESS:
        assert play(local, work_dir, tree(), *modules, check=True).error is None
        assert play(local, work_dir, tree(), *modules).error is None
        assert conf.read_text() == "ours\nmore\n"
        assert conf.is_file()
        assert not conf.is_symlink()
    else:
        for one in modules:
            report = play(local, work_dir, tree(), one)
            assert report.exit_code == 1 or one.name in ("gone", "link", "folder"), one.name
            assert report.error is None or report.error.hint
        assert not (etc / "conf").is_file() or (etc / "conf").samefile(outside / "etc/conf")
    assert snapshot(outside) == before


# --- values arrive as they are

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


# --- roots are made whole


def test_a_changed_stamp_makes_the_root_anew_and_a_check_says_so(
    local: HostSpec, work_dir: str
) -> None:
    assert play(local, work_dir, tree("suite=one\n"), *FILES).error is None
    (root(work_dir) / "mine").touch()
    seen = snapshot(work_dir)
    check = play(local, work_dir, tree("suite=two\n"), *FILES, check=True)
    assert set(states(check).values()) == {"would change"}
    (change,) = check.modules[0].changes
    assert (change.before, change.after) == ("suite=one\n", "suite=two\n")
    assert {m.changes[0].depends_on for m in check.modules[1:]} == {"tree"}
    assert snapshot(work_dir) == seen
    report = play(local, work_dir, tree("suite=two\n"), *FILES)
    assert report.error is None
    assert report.changed == 1 + len(FILES)
    assert not (root(work_dir) / "mine").exists()
    assert play(local, work_dir, tree("suite=two\n"), *FILES).round_trips == 1


def test_fresh_makes_the_root_anew_whatever_is_there(local: HostSpec, work_dir: str) -> None:
    assert play(local, work_dir, tree(), *FILES).error is None
    (root(work_dir) / "mine").touch()
    check = play(local, work_dir, tree(), *FILES, fresh=True, check=True)
    assert set(states(check).values()) == {"would change"}
    assert (root(work_dir) / "mine").exists()
    report = play(local, work_dir, tree(), *FILES, fresh=True)
    assert report.error is None
    assert set(states(report).values()) == {"changed"}
    assert not (root(work_dir) / "mine").exists()
    assert play(local, work_dir, tree(), *FILES).changed == 0


def test_a_bootstrap_that_fails_leaves_the_root_before_it(local: HostSpec, work_dir: str) -> None:
    assert play(local, work_dir, tree("one"), *FILES).error is None
    seen = snapshot(root(work_dir))
    report = play(local, work_dir, tree("two", 'touch "$rw_root/half"; false'), *FILES)
    assert states(report)["tree"] == "failed"
    assert snapshot(root(work_dir)) == seen
    assert sorted(p.name for p in Path(work_dir, "book").iterdir()) == ["lock", "tree"]
    assert play(local, work_dir, tree("one"), *FILES).round_trips == 1


# --- and stopped at any moment


def begin(folder: Path, work_dir: str, *more: str) -> Running:
    """Start the program on the waiting book."""
    argv = [*waiting_book(folder), "--work-dir", work_dir, "--json", *more]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    return Running(argv, folder, env, folder)


def elsewhere(host: HostSpec, folder: Path) -> list[str]:
    """Return the options that play on a host."""
    if host.name == "localhost":
        return []
    (folder / "hosts.toml").write_text(
        f'[hosts.box]\naddress = "{host.address}"\nport = {host.port}\nuser = "root"\n'
        f'key = "{host.key}"\n'
    )
    return ["--host", "box", "--inventory", str(folder / "hosts.toml")]


@pytest.mark.parametrize(
    ("host", "how"),
    [
        ("local", signal.SIGKILL),
        ("local", signal.SIGINT),
        ("local", signal.SIGTERM),
        ("ssh", signal.SIGKILL),
        ("ssh", signal.SIGINT),
    ],
    indirect=["host"],
)
def test_a_bootstrap_that_is_stopped_half_way_is_invisible(
    host: HostSpec, work_dir: str, tmp_path: Path, how: signal.Signals
) -> None:
    options = elsewhere(host, tmp_path)
    folder = f"{work_dir}/waiting"
    assert begin(tmp_path, work_dir, *options).end().code == 0
    (tmp_path / "waiting").unlink()
    (tmp_path / "hold").touch()
    running = begin(tmp_path, work_dir, "--stamp", "two", *options)
    end = time.monotonic() + 20
    while not (tmp_path / "waiting").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    inside = Inside(folder)
    assert Path(folder, "tree.part/rootfs/half").is_dir()
    running.process.send_signal(how)
    ended = running.end()
    await_nothing(folder, inside)
    if how == signal.SIGKILL:
        assert ended.code == -signal.SIGKILL
    else:
        assert ended.code == Interrupted.exit_code
        assert ended.host["error"]["type"] == "Interrupted"
        assert "Traceback" not in ended.stderr
    assert Path(folder, "tree/rootfs/etc/suite").read_text() == "one\n"
    (tmp_path / "hold").unlink()
    ended = begin(tmp_path, work_dir, "--stamp", "two", *options).end()
    assert ended.code == 0, ended.stderr
    assert Path(folder, "tree/rootfs/etc/suite").read_text() == "two\n"
    assert (tmp_path / "made").read_text() == "one\ntwo\n"
