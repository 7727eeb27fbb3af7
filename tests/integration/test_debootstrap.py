"""The bootstrap: the same root whoever makes it, and an end in the first second when it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest

from rootwright.errors import StepError
from rootwright.modules.debootstrap import Debootstrap
from rootwright.resource import Bootstrap, quote
from tests.support.apt_archive import DATE, AptArchive
from tests.support.debs import Deb, text
from tests.support.leftovers import of_apt
from tests.support.needs import lacks_program, lacks_root, needs
from tests.support.root import Root, tar_digest
from tests.support.tiny_debian import lacks_tiny_debian

Tool = Literal["mmdebstrap", "debootstrap"]
TOOLS: tuple[Tool, ...] = ("mmdebstrap", "debootstrap")


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[AptArchive]:
    needs(
        lacks_root(),
        lacks_program("mmdebstrap", "mmdebstrap"),
        lacks_program("debootstrap", "debootstrap"),
        lacks_program("gpg", "gnupg"),
        lacks_tiny_debian(),
    )
    with AptArchive(tmp_path / "archive") as made:
        yield made


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root.make(tmp_path / "root")


def module(archive: AptArchive, tool: Tool = "mmdebstrap") -> Debootstrap:
    return Debootstrap(
        suite=archive.suite,
        mirror=archive.mirror,
        security_mirror=archive.security_mirror,
        architecture=archive.architecture,
        keyring=archive.keyring.read_bytes(),
        tool=tool,
    )


def digest(root: Root) -> str:
    return tar_digest(root.path, (root.state / "epoch").read_text().strip())


def failure(root: Root, wanted: Debootstrap) -> str:
    """Why it ended, in one sentence; nothing half-made took the root's place."""
    with pytest.raises(StepError) as caught:
        root.converge(wanted)
    assert list(root.path.iterdir()) == []
    said = [line for line in caught.value.output.splitlines() if line.startswith("rootwright: ")]
    assert said, caught.value.output
    return said[-1].removeprefix("rootwright: ")


# --- the same root ---------------------------------------------------------------------------


@pytest.mark.parametrize("tool", TOOLS)
def test_updates_of_every_suite_are_in_the_root(
    archive: AptArchive, root: Root, tool: Tool
) -> None:
    archive.publish(archive.package("hostname").upgraded("+sec1"), suite=archive.security)
    archive.publish(archive.package("debianutils").upgraded("+upd1"), suite=archive.updates)
    archive.publish(
        Deb("extra", "1", files={"/usr/share/extra": text("hello\n")}), suite=archive.updates
    )
    archive.set_date(DATE + timedelta(days=3), archive.security)
    root.converge(replace(module(archive, tool), packages=("extra",)))
    installed = (root.path / "var/lib/dpkg/status").read_text()
    assert "+sec1\n" in installed
    assert "+upd1\n" in installed
    assert (root.path / "usr/share/extra").read_text() == "hello\n"
    newest = int((DATE + timedelta(days=3)).timestamp())
    assert (root.state / "epoch").read_text() == f"{newest}\n"
    states = (root.path / "var/lib/apt/extended_states").read_text()
    assert "Package: extra\n" not in states
    assert "Package: bash\n" in states
    for name in ("sources.list", "rootwright.gpg", "apt.conf.d/99rootwright"):
        assert not (root.path / "etc/apt" / name).exists()
    assert not (root.path / "usr/sbin/policy-rc.d").exists()


def test_two_tools_and_two_hosts_make_one_root(
    archive: AptArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.publish(archive.package("hostname").upgraded(), suite=archive.security)
    seen = {}
    for name in ("plain", "odd", "debootstrap"):
        root = Root.make(tmp_path / name)
        mask = os.umask(0o022)
        if name == "odd":
            os.umask(0o077)
            for key, value in (
                ("TZ", "Asia/Tokyo"),
                ("HOME", "/nonexistent"),
                ("LC_ALL", "tr_TR.UTF-8"),
                ("LANGUAGE", "tr"),
                ("PERL5OPT", "-Mno::such::module"),
                ("APT_CONFIG", "/no/such/file"),
                ("MMDEBSTRAP_APT_CONFIG", "x"),
                ("DEBOOTSTRAP_DIR", "/nonexistent"),
                ("SOURCE_DATE_EPOCH", "1"),
                ("POSIXLY_CORRECT", "1"),
                ("GREP_OPTIONS", "-v"),
                ("TAR_OPTIONS", "--nonsense"),
            ):
                monkeypatch.setenv(key, value)
        root.converge(module(archive, "debootstrap" if name == "debootstrap" else "mmdebstrap"))
        monkeypatch.undo()
        os.umask(mask)
        seen[name] = digest(root)
    assert set(seen.values()) == {seen["plain"]}, seen


def test_what_tells_hosts_apart_is_not_in_the_root(archive: AptArchive, root: Root) -> None:
    root.converge(module(archive))
    for gone in ("etc/hostname", "etc/machine-id", "etc/shadow-", "var/lib/dpkg/status-old"):
        assert not (root.path / gone).exists()
    assert (root.path / "etc/resolv.conf").read_bytes() == b""
    assert not (root.path / "etc/resolv.conf").is_symlink()
    for name in ("dev", "tmp", "var/tmp", "var/log/apt", "var/lib/apt/lists", "var/cache/apt"):
        assert not (root.path / name).exists() or list((root.path / name).iterdir()) == []
    days = int((root.state / "epoch").read_text()) // 86400
    for line in (root.path / "etc/shadow").read_text().splitlines():
        assert int(line.split(":")[2] or 0) <= days
    assert sorted(path.name for path in root.state.iterdir()) == ["epoch", "rootfs", "stamps"]


@pytest.mark.parametrize("tool", TOOLS)
def test_nothing_is_made_outside_the_root(archive: AptArchive, root: Root, tool: Tool) -> None:
    places = [Path("/var/tmp"), Path("/var/lib/apt/lists")]
    before = {path for place in places for path in place.iterdir()}
    done = threading.Event()
    seen: set[Path] = set()

    def watch() -> None:
        while not done.wait(0.001):
            seen.update(of_apt(root.folder))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        root.converge(module(archive, tool))
    finally:
        done.set()
        watcher.join()
    # What is in /tmp for a moment stays there when apt is killed in it.
    assert seen == set()
    after = {path for place in places for path in place.iterdir()}
    # Others may use these places meanwhile, but not with the tools' names.
    assert [path for path in after - before if path.name.startswith(("mmdebstrap", "apt"))] == []
    assert str(root.folder) not in Path("/proc/self/mounts").read_text()


def test_a_root_is_the_same_whatever_date_was_given(
    archive: AptArchive, root: Root, tmp_path: Path
) -> None:
    given = replace(Root.make(tmp_path / "given"), epoch="1700000000")
    for one in (given, root):
        one.converge(module(archive))
        assert (one.state / "epoch").read_text() == f"{int(DATE.timestamp())}\n"
    assert digest(given) == digest(root)
    shadows = [(one.path / "etc/shadow").read_text() for one in (given, root)]
    assert shadows[0] == shadows[1]


def test_an_armored_keyring_does_as_well(archive: AptArchive, root: Root, tmp_path: Path) -> None:
    armored = subprocess.run(
        ["gpg", "--homedir", str(tmp_path), "--enarmor"],
        input=archive.keyring.read_bytes(),
        capture_output=True,
        check=True,
    ).stdout.replace(b"PGP ARMORED FILE", b"PGP PUBLIC KEY BLOCK")
    root.converge(replace(module(archive), keyring=armored))
    assert (root.path / "bin/sh").exists()


def test_the_root_is_made_anew_only_for_what_decides_its_contents(archive: AptArchive) -> None:
    wanted = module(archive)

    def stamp(other: Debootstrap) -> str:
        (resource,) = other.resources()
        assert isinstance(resource, Bootstrap)
        return resource.stamp

    same = (
        replace(wanted, mirror="http://elsewhere.example.org/debian"),
        replace(wanted, security_mirror="http://elsewhere.example.org/security"),
        replace(wanted, tool="debootstrap"),
        replace(wanted, packages=()),
    )
    other = (
        replace(wanted, suite="trixie"),
        replace(wanted, security_mirror=""),
        replace(wanted, updates=False),
        replace(wanted, components=("main", "contrib")),
        replace(wanted, packages=("hello",)),
        replace(wanted, architecture="arm64"),
        replace(wanted, variant="buildd"),
        replace(wanted, keyring=b""),
    )
    assert {stamp(one) for one in same} == {stamp(wanted)}
    assert len({stamp(one) for one in other} | {stamp(wanted)}) == len(other) + 1
    lines = stamp(wanted).splitlines()
    assert lines == sorted(lines)


# --- what can be known is said at once -------------------------------------------------------


@pytest.mark.parametrize("tool", TOOLS)
def test_a_suite_that_does_not_exist(archive: AptArchive, root: Root, tool: Tool) -> None:
    said = failure(root, replace(module(archive, tool), suite="bogus"))
    assert said == f"the mirror {archive.mirror} has no suite bogus"


def test_a_mirror_that_does_not_answer(archive: AptArchive, root: Root) -> None:
    archive.server.stop()
    said = failure(root, module(archive))
    assert said.startswith(f"the mirror {archive.mirror} does not answer: Could not connect")


def test_a_name_that_nobody_knows(archive: AptArchive, root: Root) -> None:
    said = failure(root, replace(module(archive), mirror="http://nowhere.invalid/debian"))
    assert said.startswith("the mirror http://nowhere.invalid/debian does not answer: ")


@pytest.mark.slow
def test_a_mirror_that_stalls(archive: AptArchive, root: Root) -> None:
    archive.server.fail("*/InRelease", "stall")
    started = datetime.now(UTC)
    said = failure(root, module(archive))
    assert said.startswith(f"the mirror {archive.mirror} does not answer: ")
    assert datetime.now(UTC) - started < timedelta(seconds=75)


@pytest.mark.parametrize("tool", TOOLS)
def test_a_release_file_that_was_tampered_with(archive: AptArchive, root: Root, tool: Tool) -> None:
    archive.server.fail(f"*/dists/{archive.security}/*Release", "corrupt")
    archive.server.fail(f"*/dists/{archive.security}/Release.gpg", "missing")
    said = failure(root, module(archive, tool))
    where = f"the Release file of {archive.security} at {archive.security_mirror}"
    assert said == f"the signature of {where} is not good"


def test_a_key_that_is_not_in_the_keyring(archive: AptArchive, root: Root, tmp_path: Path) -> None:
    with AptArchive(tmp_path / "other") as other:
        keys = other.keyring.read_bytes()
    said = failure(root, replace(module(archive), keyring=keys))
    assert said.endswith("is signed by a key that is not in the keyring")


def host_with(tmp_path: Path, settings: str) -> Root:
    """A root on a host whose apt has these settings and no others."""
    folder = "/etc/apt/apt.conf.d"
    script = f"mount -t tmpfs none {folder}; printf %s {quote(settings)} >{folder}/own"
    shell = ("unshare", "--mount", "sh", "-euc", f'{script}; exec dash "$1"', "sh")
    return Root.make(tmp_path / "host", shell)


def test_a_release_from_the_future(archive: AptArchive, tmp_path: Path) -> None:
    archive.set_date(datetime.now(UTC) + timedelta(days=2))
    said = failure(host_with(tmp_path, ""), module(archive))
    assert said.endswith("is from the future: is the host's clock right?")


@pytest.mark.parametrize("tool", TOOLS)
def test_what_the_host_s_apt_says_of_dates_holds(
    archive: AptArchive, tmp_path: Path, tool: Tool
) -> None:
    archive.set_date(datetime.now(UTC) + timedelta(days=2))
    root = host_with(tmp_path, 'Acquire::Check-Date "false";')
    root.converge(module(archive, tool))
    assert not list((root.path / "etc/apt/apt.conf.d").glob("*mmdebstrap"))
    assert not list((root.path / "etc/apt/apt.conf.d").glob("*rootwright"))


def test_the_host_s_proxy_is_used_and_its_other_settings_are_not(
    archive: AptArchive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name)
    settings = (
        'Acquire::http::Proxy "http://127.0.0.1:9";\n'
        'Acquire::AllowInsecureRepositories "true";\n'
        f'APT::Update::Pre-Invoke {{ "touch {tmp_path}/ran"; }};\n'
    )
    said = failure(host_with(tmp_path, settings), module(archive))
    assert "Could not connect to 127.0.0.1:9" in said
    assert not (tmp_path / "ran").exists()


def test_a_component_and_an_architecture_that_do_not_exist(archive: AptArchive, root: Root) -> None:
    said = failure(root, replace(module(archive), components=("main", "other")))
    assert "has no component other: it has main" in said
    said = failure(root, replace(module(archive), architecture="pdp11"))
    assert f"has no architecture pdp11: it has {archive.architecture}" in said


@pytest.mark.parametrize("tool", TOOLS)
def test_a_package_that_does_not_exist(archive: AptArchive, root: Root, tool: Tool) -> None:
    wanted = replace(module(archive, tool), packages=("no-such-package", "dash", "nor-this"))
    assert failure(root, wanted) == "the archive has no package no-such-package nor-this"


@pytest.mark.parametrize("tool", TOOLS)
def test_a_package_that_was_tampered_with(archive: AptArchive, root: Root, tool: Tool) -> None:
    archive.server.fail("*/dash_*", "corrupt")
    said = failure(root, module(archive, tool))
    assert tool in said


def test_a_host_without_the_keys(archive: AptArchive, root: Root) -> None:
    wanted = replace(module(archive), keyring=b"", host_keyring="/usr/share/keyrings/none.gpg")
    said = failure(root, wanted)
    assert "no /usr/share/keyrings/none.gpg to check the archive's signatures with" in said


# --- a host that is no Debian ----------------------------------------------------------------


@pytest.fixture
def without_apt(tmp_path: Path) -> Root:
    """A root on a host that has neither apt nor dpkg nor mmdebstrap: they are mounted over."""
    # debootstrap takes a package apart without dpkg where it has ar.
    needs(lacks_root(), lacks_program("ar", "binutils"), lacks_program("wget", "wget"))
    names = ("apt-get", "apt-config", "apt-cache", "dpkg", "dpkg-deb", "mmdebstrap")
    found = [shutil.which(name) or "" for name in names]
    hide = "; ".join(f"mount --bind /dev/null {path}" for path in found if path)
    shell = ("unshare", "--mount", "sh", "-euc", f'{hide}; exec dash "$1"', "sh")
    return Root.make(tmp_path / "without", shell)


def test_a_host_without_apt_makes_the_same_root(
    archive: AptArchive, root: Root, without_apt: Root
) -> None:
    archive.publish(archive.package("hostname").upgraded(), suite=archive.security)
    root.converge(module(archive))
    without_apt.converge(replace(module(archive), tool="auto"))
    assert digest(without_apt) == digest(root)


def test_a_host_without_apt_checks_signatures_too(archive: AptArchive, without_apt: Root) -> None:
    wanted = replace(module(archive), tool="auto")
    said = failure(without_apt, replace(wanted, suite="bogus"))
    assert said == f"the mirror {archive.mirror} has no suite bogus"
    archive.server.fail("*/InRelease", "corrupt")
    assert failure(without_apt, wanted).endswith("is not good")
