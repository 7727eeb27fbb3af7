"""Arch-shaped roots, made by the real engine and the real pacman from the sample mirror."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rootwright.errors import StepError
from rootwright.modules.devnodes import NODES, DevNodes
from rootwright.modules.keyring import FOLDER, Keyring, State
from rootwright.modules.ldconfig import Ldconfig
from rootwright.modules.os_release import OsRelease
from rootwright.modules.pacman_conf import PacmanConf
from rootwright.modules.pacman_lock import PacmanLock
from rootwright.modules.sysusers import Sysusers
from rootwright.playbook import REGISTRY
from rootwright.playbooks.arch import SPARE
from rootwright.playbooks.arch_host import arch_host
from rootwright.sample_mirror import SampleMirror, faults, serve
from tests.support.arch import Bench, Played, bench, inside, installed, tree
from tests.support.root import Root

ARCH = REGISTRY["arch"]

HOST_FILES = ("/etc/pacman.conf", "/etc/pacman.d", "/var/lib/pacman", "/var/cache/pacman")
"""What of a build host belongs to its owner's pacman."""


@pytest.fixture(scope="module")
def arch(sample: SampleMirror, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("arch"), sample) as made:
        yield made


@pytest.fixture(scope="module")
def first(arch: Bench) -> tuple[Played, Played]:
    """The first play of all, and the same again."""
    before = host_files()
    plays = (arch.play(ARCH, "first"), arch.play(ARCH, "first"))
    assert host_files() == before
    return plays


@pytest.fixture
def root(arch: Bench, first: tuple[Played, Played]) -> Root:
    """The converged root. Leave it converged."""
    assert not first[0].error, "\n".join(first[0].said)
    return arch.root("first")


@pytest.fixture
def copied(root: Root, tmp_path: Path) -> Iterator[Root]:
    """A copy of the root, to be changed."""
    copy = Root.make(tmp_path / "arch")
    upper, work = tmp_path / "upper", tmp_path / "work"
    upper.mkdir()
    work.mkdir()
    for name in ("epoch", "stamps"):
        subprocess.run(["cp", "-a", root.state / name, copy.state], check=True)
    options = f"lowerdir={root.path},upperdir={upper},workdir={work}"
    mount = ["mount", "-t", "overlay", "-o", options, "overlay", str(copy.path)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    if not mounted:  # where this is an overlay already
        subprocess.run(["cp", "-a", f"{root.path}/.", copy.path], check=True)
    yield copy
    if mounted:
        subprocess.run(["umount", str(copy.path)], check=True)


def host_files() -> str:
    return subprocess.run(
        ["find", *HOST_FILES, "-ls"], capture_output=True, text=True, check=False
    ).stdout


# The playbook.


def test_the_second_play_changes_nothing(first: tuple[Played, Played]) -> None:
    assert first[0].error == ""
    assert "pacstrap" in first[0].changed
    assert first[1].error == ""
    assert first[1].changed == []
    assert first[1].report.round_trips == 1


def test_exactly_base_less_what_can_be_missed_is_installed(root: Root, arch: Bench) -> None:
    lists = [*arch.mirror.packages["base"].depends, "base"]
    wanted = arch.mirror.closure(name for name in lists if name not in SPARE and name != "base")
    assert installed(root) == sorted([*wanted, "base"])


def test_the_root_is_as_arch_has_it(root: Root) -> None:
    said = inside(root, "locale -a; date +%Z; grep ^root: /etc/shadow; pacman -Qqk 2>/dev/null")
    assert said.splitlines()[:5] == ["C", "C.utf8", "POSIX", "en_US.utf8", "UTC"]
    # A line of pacman -Qqk would be a missing file.
    (shadow,) = said.splitlines()[5:]
    assert shadow.startswith(("root:*:", "root:!:"))
    release = (root.path / "usr/lib/os-release").read_text()
    newest = time.gmtime(int((root.state / "epoch").read_text()))
    assert time.strftime("VERSION_ID=%Y%m%d", newest) in release.splitlines()
    assert (root.path / "etc/locale.conf").read_text() == "LANG=C.UTF-8\n"
    assert not list((root.path / "dev").iterdir())
    assert not (root.path / "usr/share/man").exists()
    assert (root.path / "usr/share/i18n/locales/de_DE").exists()
    for gone in ("etc/machine-id", "var/log/pacman.log", "var/lib/pacman/sync/core.db"):
        assert not (root.path / gone).exists()


def test_the_configuration_has_only_what_its_pacman_knows(root: Root) -> None:
    config = (root.path / "etc/pacman.conf").read_text()
    assert "ParallelDownloads = 5" in config
    assert "SigLevel = Required DatabaseOptional" in config
    assert "Sandbox" not in config
    assert "warning" not in inside(root, "pacman-conf 2>&1 >/dev/null")


def test_the_keyring_works_and_holds_no_secret(copied: Root) -> None:
    secrets = [*(copied.path / FOLDER[1:]).rglob("*.key"), *copied.path.rglob("S.gpg-agent*")]
    assert secrets == []
    listed = inside(copied, f"gpg --homedir {FOLDER} --list-secret-keys --with-colons 2>/dev/null")
    assert listed == ""
    said = inside(copied, "pacman -Sy --noconfirm nano && nano --version")
    assert "GNU nano" in said


def test_the_images_pacman_refuses_what_was_tampered_with(
    copied: Root, arch: Bench, tmp_path: Path
) -> None:
    bad = faults.tampered(arch.mirror, tmp_path / "bad", "nano")
    with serve(bad.served) as server:
        (copied.path / "etc/pacman.d/mirrorlist").write_text(f"Server = {server.mirror}\n")
        said = inside(copied, "! pacman -Sy --noconfirm nano")
    assert "invalid or corrupted package (PGP signature)" in said


def test_a_lock_of_a_dead_pacman_goes(copied: Root) -> None:
    (copied.path / "var/lib/pacman/db.lck").touch(0)
    assert [change.summary for change in copied.converge(PacmanLock())] == ["remove 1 path"]


# Two builds of the same.


def test_two_builds_differ_in_the_keyring_alone_and_without_one_in_nothing(
    arch: Bench, root: Root
) -> None:
    other = arch.play(ARCH, "second", haveged=True)
    assert other.error == "", "\n".join(other.said)
    again = arch.play(ARCH, "second", haveged=True)
    assert again.changed == []
    one, two = tree(root.path), tree(arch.root("second").path)
    differ = {path for path in one.keys() | two.keys() if one.get(path) != two.get(path)}
    assert differ
    assert all(path.startswith(FOLDER[1:]) for path in differ), differ
    assert arch.digest(ARCH, "first") != arch.digest(ARCH, "second")

    emptied = arch.play(ARCH, "second", keyring_state="empty")
    assert emptied.error == ""
    fresh = arch.play(ARCH, "third", keyring_state="empty")
    assert fresh.error == ""
    assert not (arch.root("third").path / FOLDER[1:]).exists()
    digests = {arch.digest(ARCH, name, keyring_state="empty") for name in ("second", "third")}
    assert len(digests) == 1


# Each module on its own, twice.


def test_the_keyring_goes_from_each_state_to_each(copied: Root) -> None:
    folder = copied.path / FOLDER[1:]
    states: tuple[State, ...] = ("private", "ready", "empty")
    for state in states:
        assert copied.converge(Keyring(state=state))
        assert copied.converge(Keyring(state=state)) == []
        keys = list(folder.glob("private-keys-v1.d/*.key"))
        assert bool(keys) == (state == "private")
        assert (folder / "trustdb.gpg").exists() == (state != "empty")
        assert not list(folder.glob("S.*"))


def test_a_newer_keyring_package_makes_the_keyring_anew(
    copied: Root, arch: Bench, tmp_path: Path
) -> None:
    before = (copied.path / FOLDER[1:] / "pubring.gpg").read_bytes()
    newer = faults.bumped(arch.mirror, tmp_path / "newer", "archlinux-keyring")
    with serve(newer.served) as server:
        (copied.path / "etc/pacman.d/mirrorlist").write_text(f"Server = {server.mirror}\n")
        inside(copied, "pacman -Sy --noconfirm archlinux-keyring")
    assert (copied.path / FOLDER[1:] / "pubring.gpg").read_bytes() == before
    assert len(copied.converge(Keyring())) == 1
    assert (copied.path / FOLDER[1:] / "pubring.gpg").read_bytes() != before
    assert copied.converge(Keyring()) == []


def test_a_keyring_without_its_package_is_refused(copied: Root) -> None:
    with pytest.raises(StepError) as caught:
        copied.converge(Keyring(keyring="nosuch"))
    assert "the root has no keyring nosuch" in caught.value.output


def test_devices_are_as_the_article_has_them(copied: Root) -> None:
    assert copied.converge(DevNodes(initctl=True))
    assert copied.converge(DevNodes(initctl=True)) == []
    recorded = copied.state / "devices"
    names = {path.name for path in (copied.path / "dev").iterdir()}
    if recorded.exists():
        names |= {line.split()[0][5:] for line in recorded.read_text().splitlines()}
    assert names == {name for name, *_ in NODES} | {"initctl", "pts", "shm", "fd"}


def test_small_modules_mend_what_was_spoiled_and_then_rest(copied: Root) -> None:
    release = copied.path / "usr/lib/os-release"
    before = release.read_text()
    release.write_text(before.replace("VERSION_ID=", "VERSION_ID=0"))
    assert copied.converge(OsRelease())
    assert release.read_text() == before
    assert copied.converge(OsRelease(version="1.2"))
    assert "VERSION_ID=1.2\n" in release.read_text()
    (copied.path / "etc/ld.so.cache").unlink()
    assert copied.converge(Ldconfig())
    (copied.path / "usr/lib/libnew.so").symlink_to("libc.so.6")
    assert copied.converge(Ldconfig())
    group = copied.path / "etc/group"
    passwd = copied.path / "etc/passwd"
    for file in (group, passwd):
        lines = [line for line in file.read_text().splitlines() if not line.startswith("alpm:")]
        file.write_text("\n".join(lines) + "\n")
    assert copied.converge(Sysusers())
    assert "alpm:" in passwd.read_text()
    for module in (OsRelease(version="1.2"), Ldconfig(), Sysusers()):
        assert copied.converge(module) == []


def test_pacman_conf_follows_the_pacman_in_the_root(copied: Root) -> None:
    config = copied.path / "etc/pacman.conf"
    local = copied.path / "var/lib/pacman/local"
    (present,) = local.glob("pacman-[0-9]*")
    for version, said in (
        ("5.2.2-1", []),
        ("6.1.0-3", ["ParallelDownloads = 5"]),
        ("7.0.0.r6.gc685ae6-1", ["DownloadUser = alpm", "DisableSandbox"]),
        ("7.1.0-1", ["DownloadUser = alpm", "DisableSandboxFilesystem"]),
    ):
        # Not renamed: an overlay renames no folder that it has from below.
        present = Path(shutil.move(present, local / f"pacman-{version}"))
        assert copied.converge(PacmanConf(profile="slim"))
        assert copied.converge(PacmanConf(profile="slim")) == []
        lines = config.read_text().splitlines()
        assert [line for line in lines if "Sandbox" in line or "Download" in line][-2:] == said[-2:]


def test_a_hosts_own_root_is_played_twice_without_change(arch: Bench, copied: Root) -> None:
    """Playbook arch_host's modules, on a root that stands for a host's."""
    host = {"os": "arch"}
    book = REGISTRY[arch_host.__name__]
    options = {"mirror": (arch.server.url,), "lang": "en_US.UTF-8", "timezone": "Europe/Paris"}
    modules = book.recipe(book.settings([("here", options)]), host).host
    changed = [module.name for module in modules if copied.converge(module)]
    assert changed == ["packages", "timezone", "locale"]
    assert [module.name for module in modules if copied.converge(module)] == []
    assert inside(copied, "pacstrap -h | head -n 1").startswith("usage: pacstrap")
