"""Arch-shaped roots, made by the real engine and the real pacman from the sample mirror."""

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
from rootwright.modules.devnodes import NODES, DevNodes
from rootwright.modules.keyring import FOLDER, Keyring, State
from rootwright.modules.ldconfig import Ldconfig
from rootwright.modules.os_release import OsRelease
from rootwright.modules.pacman_conf import PacmanConf
from rootwright.modules.pacman_lock import PacmanLock
from rootwright.modules.pacstrap import Pacstrap, read_keyring
from rootwright.modules.sysusers import Sysusers
from rootwright.playbook import REGISTRY
from rootwright.playbooks.arch import SPARE
from rootwright.playbooks.arch_host import arch_host
from rootwright.sample_mirror import Faults, SampleMirror, build, faults, serve
from rootwright.sample_mirror.keys import EXPIRED, REVOKED, STRANGER
from rootwright.sample_mirror.packages import IGNORED
from tests.support.arch import TOOLS, Bench, Played, bench, inside, tree
from tests.support.root import Root

MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or bool(MISSING), reason=f"needs root and {', '.join(MISSING) or 'tools'}"
)

ARCH = REGISTRY["arch"]

HOST_FILES = ("/etc/pacman.conf", "/etc/pacman.d", "/var/lib/pacman", "/var/cache/pacman")
"""What of a build host belongs to its owner's pacman."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sample")


@pytest.fixture(scope="module")
def sample(cache: Path) -> SampleMirror:
    return build(cache)


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


def installed(root: Root) -> list[str]:
    local = root.path / "var/lib/pacman/local"
    return sorted(p.name.rsplit("-", 2)[0] for p in local.iterdir() if p.is_dir())


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


def test_another_locale_changes_the_locale_module_alone(copied: Root, arch: Bench) -> None:
    locales = ("en_US.UTF-8", "de_DE.UTF-8")
    work = copied.folder.parent
    shutil.copy(arch.root("first").folder / "lock", copied.folder)
    played = Bench(work.parent, arch.mirror, arch.server).play(ARCH, work.name, locales=locales)
    assert (played.error, played.changed) == ("", ["locale"])
    assert "de_DE.utf8" in inside(copied, "locale -a").splitlines()


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
    cache: Path, tmp_path: Path, old_pacstrap: Path
) -> None:
    grouped = build(cache, base_as="group")
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


def test_an_ignored_package_that_something_needs_is_named(arch: Bench) -> None:
    played = arch.make([pacstrap(arch, ("base",), ignore=("readline",))], "needed")
    assert played.error in {
        f"{name} needs readline, which is to be ignored" for name in arch.mirror.packages
    }
    assert not arch.root("needed").path.exists()


def test_a_package_that_does_not_exist_is_named(arch: Bench) -> None:
    played = arch.make([pacstrap(arch, ("iana-etc", "no-such-thing"))], "unknown")
    assert played.error == "the repositories have no package or group called no-such-thing"


def test_a_question_nobody_foresaw_is_shown(
    arch: Bench, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "DIALOGUE_SILENCE", 2.0)
    asking = tmp_path / "pacstrap"
    asking.write_text(
        "#!/bin/sh\ncase $1 in -h) exec /usr/bin/pacstrap -h ;; esac\n"
        'printf ":: Shall I paint it blue? [y/N] "\nread -r answer\n'
    )
    asking.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with bench(tmp_path, build(cache, base_as="group")) as made:
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
    assert played.error.startswith("pacstrap ended well, but did not install ")
    assert "pambase" in played.error
    assert "iana-etc" not in played.error


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
    with bench(tmp_path, spoil(arch.mirror, tmp_path / "mirror")) as made:
        played = made.make([pacstrap(made)])
        assert said in played.error
        assert not made.root().path.exists()


SLOW_MIRRORS = {
    "cut": (Faults(cut="*/iana-etc*", cut_after=100), "stopped in the middle of iana-etc-"),
    "stalled": (Faults(stall="*/core.db"), "stopped sending in the middle of core.db"),
}


@pytest.mark.parametrize("how", SLOW_MIRRORS)
def test_a_mirror_that_stops_is_said_in_a_sentence(arch: Bench, how: str) -> None:
    wrong, said = SLOW_MIRRORS[how]
    with serve(arch.mirror.served, wrong) as server:
        played = arch.make([pacstrap(arch, url=server.url)], f"slow-{how}")
    assert said in played.error


def test_a_mirror_that_does_not_answer_is_said_in_a_sentence(arch: Bench) -> None:
    played = arch.make([pacstrap(arch, url="http://127.0.0.1:9")], "silent")
    assert played.error == "the mirror 127.0.0.1:9 does not answer"


def test_the_next_mirror_takes_over(arch: Bench) -> None:
    keys = read_keyring(arch.mirror.keyring)
    urls = ("http://127.0.0.1:9", arch.server.url)
    played = arch.make([Pacstrap(packages=("iana-etc",), urls=urls, keyring=keys)], "two")
    assert played.error == ""
    assert "iana-etc" in installed(arch.root("two"))


def test_a_date_that_is_given_is_the_date_of_installation(
    arch: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert arch.make([pacstrap(arch)], "dated").error == ""
    (desc,) = (arch.root("dated").path / "var/lib/pacman/local").glob("iana-etc-*/desc")
    assert "%INSTALLDATE%\n1700000000\n" in desc.read_text()


def test_a_keyring_that_trusts_nobody_is_refused(arch: Bench, tmp_path: Path) -> None:
    for name, data in read_keyring(arch.mirror.keyring).items():
        (tmp_path / name).write_bytes(data if name.endswith(".gpg") else b"# none\n")
    played = arch.make([pacstrap(arch, keyring=tmp_path)], "nobody")
    assert played.error == "the keyring archlinux trusts no packager"


def test_the_hosts_keyring_does_not_trust_the_sample(arch: Bench) -> None:
    played = arch.make([Pacstrap(packages=("iana-etc",), urls=(arch.server.url,))], "host-keys")
    assert played.error.startswith("the database core is signed by the key ")
    assert "which the keyring does not hold" in played.error
    assert not arch.root("host-keys").path.exists()


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


def test_a_build_that_is_killed_leaves_nothing(arch: Bench, tmp_path: Path) -> None:
    with bench(tmp_path, arch.mirror) as made:
        made.server.faults.throttle = 4_000_000
        with builder(made) as process:
            wait(lambda: any("glibc" in line for line in made.server.requests), 20)
            process.kill()
        wait(lambda: not list(made.root().folder.glob("*.part")), 5)
        wait(lambda: str(tmp_path) not in Path("/proc/mounts").read_text(), 5)
        wait(lambda: not processes(str(made.root().folder)), 5)
        made.server.faults.throttle = 0
        played = made.make([pacstrap(made)])
        assert played.error == ""


def wait(until: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        time.sleep(0.05)


def processes(naming: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (
                    (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
            except OSError:
                continue
            if naming in command:
                found.append(command)
    return found


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
