"""Plays of small playbooks, here and over SSH: what is seen, what is made, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rootwright.errors import StepError, UsageError
from rootwright.inventory import HostSpec
from rootwright.resource import Command, File, Resource
from tests.support.plays import module, play, root, states, tree
from tests.support.snapshot import snapshot

pytestmark = pytest.mark.usefixtures("own_registry")

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
    assert re.match(r"env rw_root=\S+ sh -euc 'echo trying", error.command)
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
