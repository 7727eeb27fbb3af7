"""The bootstrap alone, with the real pacstrap: both shapes of base, and what goes wrong."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rootwright import session
from rootwright.errors import StepError
from rootwright.modules.pacstrap import Pacstrap, read_keyring
from rootwright.sample_mirror import Faults, SampleMirror, build, faults, serve
from rootwright.sample_mirror.keys import EXPIRED, REVOKED, STRANGER
from rootwright.sample_mirror.packages import IGNORED
from tests.support.arch import CACHE, Bench, Played, bench, installed
from tests.support.leftovers import Inside, await_nothing
from tests.support.program import command_lines, family


@pytest.fixture(scope="module")
def arch(sample: SampleMirror, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("arch"), sample) as made:
        yield made


@pytest.fixture(scope="module")
def grouped(samples: Path, sample: SampleMirror) -> SampleMirror:
    """The sample mirror whose base is a group."""
    return build(samples / CACHE, base_as="group")


def pacstrap(
    on: Bench,
    packages: tuple[str, ...] = ("iana-etc",),
    url: str = "",
    keyring: Path | None = None,
    ignore: tuple[str, ...] = (),
) -> Pacstrap:
    keys = read_keyring(keyring or on.mirror.keyring)
    urls = (url or on.server.url,)
    return Pacstrap(packages=packages, ignore=ignore, urls=urls, keyring=keys)


def failed(arch: Bench, played: Played, name: str = "work") -> str:
    """Check that a bootstrap failed as it should, and that the next one does not; return why."""
    error = played.report.error
    assert isinstance(error, StepError)
    assert (error.exit_code, bool(error.hint)) == (1, True)
    folder = arch.root(name).folder
    assert [path.name for path in folder.iterdir()] == ["lock"]
    again = arch.make([pacstrap(arch)], name)
    assert again.error == "", "\n".join(again.said)
    assert "iana-etc" in installed(arch.root(name))
    return error.what


# The two worlds of base.


OLD_PACSTRAP = """\
mountpoint -q "$newroot" || [[ $directory ]] || die '%s is not a mountpoint!' "$newroot"
"""


@pytest.fixture
def old_pacstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The installed pacstrap with what it had up to version 17: -d, and the need for it."""
    found = shutil.which("pacstrap")
    assert found
    text = Path(found).read_text()
    text = text.replace("getopts ':C:c", "getopts ':C:cd", 1)
    text = text.replace("    c)\n", "    d)\n      directory=1\n      ;;\n    c)\n", 1)
    text = text.replace("    -c      ", "    -d             Allow it\n    -c      ", 1)
    text = text.replace("  # mount API filesystems\n", OLD_PACSTRAP, 1)
    assert all(part in text for part in (OLD_PACSTRAP, "cdDGiK", "directory=1", "Allow it"))
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "pacstrap").write_text(text.replace("\n", f"\n: >>{tmp_path}/used\n", 1))
    (folder / "pacstrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return tmp_path / "used"


def test_members_of_a_group_are_declined_one_by_one(
    grouped: SampleMirror, tmp_path: Path, old_pacstrap: Path
) -> None:
    ignored = tuple(name for name in IGNORED if name != "nano")
    with bench(tmp_path, grouped) as made:
        modules = [pacstrap(made, packages=("base",), ignore=ignored)]
        played = made.make(modules)
        assert played.error == "", "\n".join(played.said)
        assert old_pacstrap.exists()
        members = [
            p.name
            for p in grouped.packages.values()
            if "base" in p.groups and p.name not in ignored
        ]
        assert installed(made.root()) == grouped.closure(members)
        assert made.make(modules).changed == []


def test_of_a_package_without_files_what_it_alone_needs_is_left_out(arch: Bench) -> None:
    ignored = ("pciutils", "systemd-sysvcompat", "licenses")
    played = arch.make([pacstrap(arch, ("base",), ignore=ignored)], "less")
    assert played.error == "", "\n".join(played.said)
    members = [name for name in arch.mirror.packages["base"].depends if name not in ignored]
    assert installed(arch.root("less")) == sorted(["base", *arch.mirror.closure(members)])


def test_an_ignored_package_that_something_needs_is_named(arch: Bench) -> None:
    played = arch.make([pacstrap(arch, ("base",), ignore=("readline",))], "needed")
    assert failed(arch, played, "needed") in {
        f"{name} needs readline, which is to be ignored" for name in arch.mirror.packages
    }


def test_a_package_that_does_not_exist_is_named(arch: Bench) -> None:
    played = arch.make([pacstrap(arch, ("iana-etc", "no-such-thing"))], "unknown")
    said = failed(arch, played, "unknown")
    assert said == "the repositories have no package or group called no-such-thing"


def test_a_question_nobody_foresaw_is_shown(
    grouped: SampleMirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "DIALOGUE_SILENCE", 2.0)
    asking = tmp_path / "pacstrap"
    asking.write_text(
        "#!/bin/sh\ncase $1 in -h) exec /usr/bin/pacstrap -h ;; esac\n"
        'printf ":: Shall I paint it blue? [y/N] "\nread -r answer\n'
    )
    asking.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with bench(tmp_path, grouped) as made:
        played = made.make([pacstrap(made, ("base",), ignore=("linux",))])
    assert played.report.error
    assert "Shall I paint it blue? [y/N]" in played.report.error.output


def test_a_pacstrap_that_leaves_packages_out_is_not_believed(
    arch: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lazy = tmp_path / "pacstrap"
    lazy.write_text(
        "#!/bin/sh\ncase $1 in -h) exec /usr/bin/pacstrap -h ;; esac\n"
        'exec /usr/bin/pacstrap "$1" "$2" "$3" "$4" "$5" "$6" iana-etc\n'
    )
    lazy.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    played = arch.make([pacstrap(arch, ("iana-etc", "pambase"))], "lazy")
    said = failed(arch, played, "lazy")
    assert said.startswith("pacstrap ended well, but did not install ")
    assert "pambase" in said
    assert "iana-etc" not in said


# What goes wrong.

Spoil = Callable[[SampleMirror, Path], SampleMirror]

BAD_PACKAGES: dict[str, tuple[Spoil, str]] = {
    "tampered": (
        lambda m, to: faults.tampered(m, to, "iana-etc"),
        "the package iana-etc is not what Rootwright sample packager",
    ),
    "unsigned": (
        lambda m, to: faults.unsigned(m, to, "iana-etc"),
        "the package is not signed",
    ),
    "revoked": (
        lambda m, to: faults.signed_by(m, to, "iana-etc", REVOKED),
        "the package iana-etc is signed by a key that was revoked: Rootwright sample revoked",
    ),
    "expired": (
        lambda m, to: faults.signed_by(m, to, "iana-etc", EXPIRED),
        "the package iana-etc is signed by a key that has expired: Rootwright sample expired",
    ),
    "stranger": (
        lambda m, to: faults.signed_by(m, to, "iana-etc", STRANGER),
        "which the keyring does not hold",
    ),
    "missing": (lambda m, to: faults.removed(m, to, "iana-etc"), " has no iana-etc-"),
    "no database": (
        lambda m, to: faults.without_database(m, to, "extra"),
        " has no extra.db (404)",
    ),
}


@pytest.mark.parametrize("how", BAD_PACKAGES)
def test_a_bad_mirror_is_said_in_a_sentence(arch: Bench, tmp_path: Path, how: str) -> None:
    spoil, said = BAD_PACKAGES[how]
    with serve(spoil(arch.mirror, tmp_path / "mirror").served) as server:
        played = arch.make([pacstrap(arch, url=server.url)], f"bad-{how}")
    assert said in failed(arch, played, f"bad-{how}")


SLOW_MIRRORS = {
    "cut": (Faults(cut="*/iana-etc*", cut_after=100), "stopped in the middle of iana-etc-"),
    "stalled": (Faults(stall="*/core.db"), "stopped sending in the middle of core.db"),
}


@pytest.mark.parametrize("how", SLOW_MIRRORS)
def test_a_mirror_that_stops_is_said_in_a_sentence(arch: Bench, how: str) -> None:
    wrong, said = SLOW_MIRRORS[how]
    with serve(arch.mirror.served, wrong) as server:
        played = arch.make([pacstrap(arch, url=server.url)], f"slow-{how}")
    assert said in failed(arch, played, f"slow-{how}")


def test_a_mirror_that_does_not_answer_is_said_in_a_sentence(arch: Bench) -> None:
    played = arch.make([pacstrap(arch, url="http://127.0.0.1:9")], "silent")
    assert failed(arch, played, "silent") == "the mirror 127.0.0.1:9 does not answer"


def test_the_next_mirror_takes_over(arch: Bench) -> None:
    keys = read_keyring(arch.mirror.keyring)
    urls = ("http://127.0.0.1:9", arch.server.url)
    played = arch.make([Pacstrap(packages=("iana-etc",), urls=urls, keyring=keys)], "two")
    assert played.error == ""
    assert "iana-etc" in installed(arch.root("two"))


def test_packages_are_installed_when_the_newest_was_built_whatever_date_is_given(
    arch: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert arch.make([pacstrap(arch)], "dated").error == ""
    (desc,) = (arch.root("dated").path / "var/lib/pacman/local").glob("iana-etc-*/desc")
    epoch = (arch.root("dated").state / "epoch").read_text()
    assert f"%INSTALLDATE%\n{epoch}" in desc.read_text()


def test_a_keyring_that_trusts_nobody_is_refused(arch: Bench, tmp_path: Path) -> None:
    for name, data in read_keyring(arch.mirror.keyring).items():
        (tmp_path / name).write_bytes(data if name.endswith(".gpg") else b"# none\n")
    played = arch.make([pacstrap(arch, keyring=tmp_path)], "nobody")
    assert failed(arch, played, "nobody") == "the keyring archlinux trusts no packager"


def test_the_hosts_keyring_does_not_trust_the_sample(arch: Bench) -> None:
    played = arch.make([Pacstrap(packages=("iana-etc",), urls=(arch.server.url,))], "host-keys")
    said = failed(arch, played, "host-keys")
    assert said.startswith("the database core is signed by the key ")
    assert "which the keyring does not hold" in said


@contextmanager
def builder(made: Bench) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that builds; it can be killed."""
    text = (
        "import sys; from pathlib import Path\n"
        "from rootwright.modules.pacstrap import Pacstrap, read_keyring\n"
        "from tests.support.arch import Bench\n"
        "keys = read_keyring(Path(sys.argv[3]))\n"
        "module = Pacstrap(packages=('base',), urls=(sys.argv[2],), keyring=keys)\n"
        "Bench(Path(sys.argv[1]), None, None).make([module])\n"
    )
    given = (str(made.folder), made.server.url, str(made.mirror.keyring))
    argv = [sys.executable, "-c", text, *given]
    with subprocess.Popen(argv) as process:
        try:
            yield process
        finally:
            process.kill()


def gpg_agents() -> set[int]:
    return {pid for pid, words in command_lines().items() if words.startswith("gpg-agent")}


def test_a_build_that_is_killed_leaves_nothing(arch: Bench, tmp_path: Path) -> None:
    with bench(tmp_path, arch.mirror) as made:
        folder = str(made.root().folder)
        made.server.faults.throttle = 4_000_000
        with builder(made) as process:
            while not any("glibc" in line for line in made.server.requests):
                assert process.poll() is None
                time.sleep(0.05)
            inside = Inside(folder)
            agents = {pid for pid, _ in family(process.pid)} & gpg_agents()
            assert agents
            process.kill()
        await_nothing(folder, inside)
        assert not agents & gpg_agents()
        made.server.faults.throttle = 0
        assert made.make([pacstrap(made)]).error == ""
