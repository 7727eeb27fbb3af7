"""The modules and playbooks for Arch, without a host: what they say, and what they refuse."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast, get_args

import pytest

from rootwright.errors import UsageError
from rootwright.module import Module, read_template
from rootwright.modules.devnodes import NODES, DevNodes
from rootwright.modules.keyring import SECRETS, Keyring, State
from rootwright.modules.ldconfig import Ldconfig
from rootwright.modules.mirrorlist import Mirrorlist, server
from rootwright.modules.os_release import OsRelease
from rootwright.modules.packages import Packages
from rootwright.modules.pacman_conf import (
    GENERATIONS,
    HOST_VERSION,
    NO_EXTRACT,
    Generation,
    PacmanConf,
    VersionedFile,
    by_generation,
)
from rootwright.modules.pacman_lock import PacmanLock
from rootwright.modules.pacstrap import ANSWERS, KEYRING_LIMIT, Pacstrap, read_keyring
from rootwright.modules.sysusers import MISSING, Sysusers
from rootwright.plan import steps
from rootwright.playbook import REGISTRY, Recipe
from rootwright.playbooks import arch as playbook
from rootwright.playbooks.arch_host import arch_host
from rootwright.resource import Absent, Bootstrap, Command, Device, Directory, Symlink
from tests.support.root import SHELLS, Root, need_shell

ARCH = REGISTRY["arch"]
FACTS = {"os": "debian", "arch": "x86_64"}
MIRROR = "https://mirror.example.org/archlinux"
FINGERPRINT = "0123456789ABCDEF0123456789ABCDEF01234567"

PLAIN: list[Module] = [
    PacmanConf(),
    PacmanConf(profile="slim", ignore=("linux",), check_space=True, sig_level="Required"),
    Mirrorlist(urls=(MIRROR,)),
    Keyring(),
    Keyring(state="empty"),
    Keyring(state="private", haveged=True),
    DevNodes(),
    OsRelease(),
    OsRelease(version="20240131"),
    Ldconfig(),
    Sysusers(),
    PacmanLock(),
    Pacstrap(urls=(MIRROR,)),
]


def recipe(facts: Mapping[str, str] = FACTS, **given: object) -> Recipe:
    return ARCH.recipe(ARCH.settings([("the test", given)]), facts)


def module_of(made: Recipe, name: str) -> Module:
    (found,) = [module for module in made.root if module.name == name]
    return found


# Mirrors and repositories.


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (MIRROR, f"{MIRROR}/$repo/os/$arch"),
        (f"{MIRROR}/", f"{MIRROR}/$repo/os/$arch"),
        ("http://127.0.0.1:8000/$arch/$repo", "http://127.0.0.1:8000/$arch/$repo"),
        ("file:///srv/mirror", "file:///srv/mirror/$repo/os/$arch"),
    ],
)
def test_a_mirror_has_archs_layout_unless_it_says_its_own(url: str, said: str) -> None:
    assert server(url) == said


@pytest.mark.parametrize(
    "url", ["", "mirror.example.org", "https://", "https://a b", "http://a\nServer = x", "ssh://a"]
)
def test_what_is_no_mirror_is_refused(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        server(url)
    assert caught.value.hint


def test_no_mirror_at_all_is_refused() -> None:
    with pytest.raises(UsageError):
        list(Mirrorlist(urls=()).resources())


# pacman.conf.


def config(generation: Generation, module: PacmanConf | None = None) -> list[str]:
    (resource,) = (module or PacmanConf()).resources()
    assert isinstance(resource, VersionedFile)
    return resource.settings.file(resource.path, generation).data.decode().splitlines()


def test_each_pacman_gets_the_options_it_knows() -> None:
    said = {
        generation: {
            line.partition(" ")[0]
            for line in config(generation)
            if re.match("(Parallel|Download|Disable)", line)
        }
        for generation in GENERATIONS
    }
    assert said == {
        (0, 0): set(),
        (6, 0): {"ParallelDownloads"},
        (7, 0): {"ParallelDownloads", "DownloadUser", "DisableSandbox"},
        (7, 1): {"ParallelDownloads", "DownloadUser", "DisableSandboxFilesystem"},
    }


def test_a_configuration_says_what_it_was_asked_to() -> None:
    module = PacmanConf(
        repositories=("core", "multilib"), profile="slim", ignore=("linux", "vi"), check_space=True
    )
    lines = config((6, 0), module)
    assert "IgnorePkg = linux vi" in lines
    assert "CheckSpace" in lines
    assert [line for line in lines if line.startswith("[")] == ["[options]", "[core]", "[multilib]"]
    assert lines.count("Include = /etc/pacman.d/mirrorlist") == 2
    assert sum(line.startswith("NoExtract = ") for line in lines) == len(NO_EXTRACT["slim"])
    plain = config((6, 0))
    assert not any(line.startswith(("IgnorePkg", "NoExtract", "CheckSpace")) for line in plain)


@pytest.mark.parametrize(
    "module",
    [
        PacmanConf(sig_level="Never"),
        PacmanConf(sig_level="Optional TrustAll"),
        PacmanConf(sig_level="Required PackageOptional"),
        PacmanConf(sig_level="DatabaseOptional"),
        PacmanConf(repositories=()),
        PacmanConf(repositories=("core]\nSigLevel = Never\n[x",)),
        PacmanConf(ignore=("a b",)),
        PacmanConf(architecture="x86_64\nSigLevel = Never"),
        PacmanConf(profile="fat"),
        PacmanConf(parallel=0),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(module: Module) -> None:
    with pytest.raises(UsageError):
        list(module.resources())


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
@pytest.mark.parametrize(
    ("version", "generation"),
    [
        ("", "0.0"),
        ("5.2.2-1", "0.0"),
        ("6.0.2-3", "6.0"),
        ("6.1.0", "6.0"),
        ("7.0.0.r6.gc685ae6-1", "7.0"),
        ("7.1.0-1", "7.1"),
        ("8.0.0-1", "7.1"),
        ("10.2-1", "7.1"),
        ("nonsense", "0.0"),
    ],
)
def test_the_generation_is_found_in_a_version(
    shell: tuple[str, ...], version: str, generation: str
) -> None:
    script = by_generation(lambda g: "echo {}.{}".format(*g), f"printf '%s\\n' '{version}'")
    done = subprocess.run([*need_shell(shell), "-euc", script], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == (generation, 0)


def test_the_hosts_pacman_says_its_version(tmp_path: Path) -> None:
    fake = tmp_path / "pacman"
    fake.write_text(
        "#!/bin/sh\nprintf '\\n .--.                  Pacman v7.1.0 - libalpm v16.0.0\\n/ _.-\\n'\n"
    )
    fake.chmod(0o755)
    path = f"PATH={tmp_path}:$PATH\n{HOST_VERSION}"
    done = subprocess.run(["sh", "-euc", path], capture_output=True, text=True, check=True)
    assert done.stdout.strip().startswith("7.1.0")


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_the_roots_pacman_decides_the_file_and_its_diff(
    tmp_path: Path, shell: tuple[str, ...]
) -> None:
    root = Root.make(tmp_path, need_shell(shell))
    (root.path / "etc").mkdir()
    for version, option in (("6.0.2-3", ""), ("7.1.0-1", "DisableSandboxFilesystem\n")):
        local = root.path / "var/lib/pacman/local"
        subprocess.run(["rm", "-rf", str(local)], check=True)
        (local / f"pacman-{version}").mkdir(parents=True)
        (local / "pacman-mirrorlist-20240101-1").mkdir()
        (change,) = root.converge(PacmanConf())
        assert root.converge(PacmanConf()) == []
        assert option in (root.path / "etc/pacman.conf").read_text()
        assert option in (change.after or "")


def extracted(path: str, profile: str = "slim") -> bool:
    """Tell whether pacman unpacks a path, by alpm's rule: the last pattern that matches decides."""
    for pattern in reversed(" ".join(NO_EXTRACT[profile]).split()):
        if fnmatchcase(path, pattern.lstrip("!")):
            return pattern.startswith("!")
    return True


def test_slim_leaves_out_documentation_and_keeps_what_locales_need() -> None:
    for path in (
        "usr/share/man/man1/ls.1.gz",
        "usr/share/man/de/man1/ls.1.gz",
        "usr/share/doc/bash/README",
        "usr/share/info/bash.info.gz",
        "usr/share/locale/de/LC_MESSAGES/pacman.mo",
        "usr/share/help/de/gedit/index.page",
        "usr/share/X11/locale/ja/Compose",
        "usr/share/gtk-doc/html/glib/index.html",
    ):
        assert not extracted(path), path
        assert extracted(path, "")
    for path in (
        "usr/share/locale/en_GB/LC_MESSAGES/pacman.mo",
        "usr/share/locale/locale.alias",
        "usr/share/i18n/locales/de_DE",
        "usr/share/i18n/charmaps/UTF-8.gz",
        "usr/share/help/en_GB/gedit/index.page",
        "usr/share/X11/locale/C/Compose",
        "usr/share/licenses/bash/COPYING",
        "usr/bin/man",
    ):
        assert extracted(path), path


# pacstrap.


def bootstrap(**given: Any) -> Bootstrap:
    (resource,) = Pacstrap(**{"urls": (MIRROR,), **given}).resources()
    assert isinstance(resource, Bootstrap)
    return resource


KEYS = {
    "archlinux.gpg": b"\x99\x01",
    "archlinux-trusted": f"{FINGERPRINT}:4:\n".encode(),
    "archlinux-revoked": b"",
}


@pytest.mark.parametrize(
    "given",
    [
        {"packages": ("base", "nano")},
        {"ignore": ("vi",)},
        {"spare": ("vi",)},
        {"repositories": ("core",)},
        {"urls": ("https://other.example.org",)},
        {"architecture": "aarch64"},
        {"profile": "slim"},
        {"keyring": KEYS},
        {"keyring_name": "archlinuxarm"},
    ],
    ids=lambda given: next(iter(given)),
)
def test_what_decides_a_root_makes_it_anew(given: Mapping[str, object]) -> None:
    assert bootstrap(**given).stamp != bootstrap().stamp


def test_what_does_not_decide_a_root_leaves_it() -> None:
    assert bootstrap(parallel=1).stamp == bootstrap().stamp


def test_another_key_in_a_keyring_makes_the_root_anew() -> None:
    other = {**KEYS, "archlinux.gpg": b"\x99\x02"}
    assert bootstrap(keyring=KEYS).stamp != bootstrap(keyring=other).stamp


@pytest.mark.parametrize(
    "given",
    [
        {"packages": ()},
        {"packages": ("base", "")},
        {"packages": ("-Syu",)},
        {"packages": ("base; reboot",)},
        {"packages": ("base", "vi"), "ignore": ("vi",)},
        {"ignore": ("--config",)},
        {"spare": ("a b",)},
        {"urls": ()},
        {"keyring_name": "../archlinux"},
        {"keyring": {**KEYS, "archlinux-trusted": b"everyone\n"}},
        {"keyring": {**KEYS, "archlinux.gpg": b"x" * (KEYRING_LIMIT + 1)}},
    ],
    ids=str,
)
def test_a_bootstrap_that_makes_no_sense_is_refused(given: Mapping[str, object]) -> None:
    with pytest.raises(UsageError):
        bootstrap(**given)


def test_a_line_of_spaces_is_looked_through_in_no_time() -> None:
    bad = {**KEYS, "archlinux-trusted": b" " * 1_000_000 + b"x"}
    with pytest.raises(UsageError):
        bootstrap(keyring=bad)


def test_a_failure_does_not_print_the_whole_script() -> None:
    assert bootstrap(keyring=KEYS).replay("/root") == ""


@pytest.mark.parametrize(
    ("prompt", "reply"),
    [
        (":: linux is in IgnorePkg/IgnoreGroup. Install anyway? [Y/n] ", "n"),
        ("\x1b[1;34m::\x1b[0;1m linux is in IgnorePkg/IgnoreGroup. Install anyway? [Y/n] ", "n"),
        ("Enter a selection (default=all): ", ""),
        (":: Proceed with installation? [Y/n] ", "y"),
        ("Do you want to delete it? [Y/n] ", "y"),
        (':: Import PGP key 0123ABCD, "A <a@b>"? [Y/n] ', "n"),
        ("Enter a number (default=1): ", ""),
        (":: vi and vim are in conflict. Remove vim? [y/N] ", None),
        (":: Do you want to skip the above package for this upgrade? [y/N] ", None),
        (":: Replace a with core/b? [Y/n] ", None),
    ],
)
def test_pacmans_questions_are_answered_and_no_others(prompt: str, reply: str | None) -> None:
    found = [answer.reply for answer in ANSWERS if re.search(answer.pattern, prompt)]
    assert found == ([] if reply is None else [reply])


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
@pytest.mark.parametrize("name", ["pacstrap.sh", "keyring.sh"])
def test_scripts_are_read_by_every_shell(shell: tuple[str, ...], name: str) -> None:
    subprocess.run([*need_shell(shell), "-n"], input=read_template(name), text=True, check=True)


# The keyring to build with.


def keyring_folder(folder: Path) -> Path:
    for name, data in KEYS.items():
        (folder / name).write_bytes(data)
    return folder


def test_a_keyring_is_read_from_its_folder(tmp_path: Path) -> None:
    assert read_keyring(keyring_folder(tmp_path)) == KEYS


def test_a_keyring_that_revokes_nothing_needs_no_list(tmp_path: Path) -> None:
    (keyring_folder(tmp_path) / "archlinux-revoked").unlink()
    assert read_keyring(tmp_path) == KEYS


@pytest.mark.parametrize("name", ["archlinux.gpg", "archlinux-trusted"])
def test_a_keyring_with_a_file_missing_is_refused(tmp_path: Path, name: str) -> None:
    (keyring_folder(tmp_path) / name).unlink()
    with pytest.raises(UsageError, match=name):
        read_keyring(tmp_path)


def test_a_keyring_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_keyring(tmp_path / "none")
    assert "archlinux-trusted" in caught.value.hint


# The other modules.


@pytest.mark.parametrize("module", PLAIN, ids=lambda module: module.history())
def test_every_module_can_tell_what_it_reads_and_writes(module: Module) -> None:
    for resource in module.resources():
        assert all(path.startswith("/") for path in (*resource.reads, *resource.writes))
        if isinstance(resource, Command):
            # In the root, a guard has no /dev: this would make a file there.
            assert "/dev/null" not in resource.unless


def test_history_tells_what_an_image_is_and_not_where_it_came_from() -> None:
    made = recipe(mirror=MIRROR, packages="base,nano", slim=False)
    lines = [module.history() for module in made.root]
    assert lines[0].startswith("pacstrap packages=base,nano spare=cryptsetup,")
    assert MIRROR not in lines[0]
    assert f"mirrorlist urls={MIRROR}/$repo/os/$arch" in lines


def test_devices_are_those_of_the_script() -> None:
    made = list(DevNodes().resources())
    devices = {r.path: (r.kind, r.major, r.minor, r.mode) for r in made if isinstance(r, Device)}
    assert devices == {
        "/dev/null": ("c", 1, 3, 0o666),
        "/dev/zero": ("c", 1, 5, 0o666),
        "/dev/random": ("c", 1, 8, 0o666),
        "/dev/urandom": ("c", 1, 9, 0o666),
        "/dev/tty": ("c", 5, 0, 0o666),
        "/dev/console": ("c", 5, 1, 0o600),
        "/dev/tty0": ("c", 4, 0, 0o666),
        "/dev/full": ("c", 1, 7, 0o666),
        "/dev/ptmx": ("c", 5, 2, 0o666),
    }
    assert len(devices) == len(NODES)
    folders = {r.path: r.mode for r in made if isinstance(r, Directory)}
    assert folders == {"/dev": 0o755, "/dev/pts": 0o755, "/dev/shm": 0o1777}
    assert Symlink("/dev/fd", "/proc/self/fd") in made
    (fifo,) = set(DevNodes(initctl=True).resources()) - set(made)
    assert fifo == Device("/dev/initctl", "p", mode=0o600)


@pytest.mark.parametrize("state", get_args(State))
def test_a_private_key_stays_only_where_it_was_asked_for(state: State) -> None:
    (absent,) = [r for r in Keyring(state=state).resources() if isinstance(r, Absent)]
    if state == "empty":
        assert absent == Absent(("/etc/pacman.d/gnupg",))
    else:
        assert (set(SECRETS) <= set(absent.patterns)) == (state == "ready")


@pytest.mark.parametrize(
    "module",
    [
        Keyring(state=cast(State, "public")),
        Keyring(keyring="a b"),
        OsRelease(version="One"),
        OsRelease(version="1\nID=x"),
    ],
    ids=lambda module: module.history(),
)
def test_values_that_make_no_sense_are_refused(module: Module) -> None:
    with pytest.raises(UsageError):
        list(module.resources())


# The playbooks.


def test_the_defaults_make_a_plan() -> None:
    made = recipe()
    names = [step.name for step in steps(made)]
    assert names[:2] == ["packages", "pacstrap"]
    assert names[-1] == "prune"
    assert names.index("os_release") < names.index("ldconfig") < names.index("locale")
    assert made.architecture == "amd64"
    assert made.image
    assert made.image.cmd == ("/usr/bin/bash",)
    assert made.image.env == {"LANG": "C.UTF-8"}
    strap = module_of(made, "pacstrap")
    assert isinstance(strap, Pacstrap)
    assert strap.urls == (f"{playbook.GEO_MIRROR}/$repo/os/$arch",)
    assert (strap.ignore, strap.spare) == ((), playbook.SPARE)


def test_what_is_ignored_by_name_is_not_merely_spared() -> None:
    strap = module_of(recipe(ignore="vi,nano"), "pacstrap")
    assert isinstance(strap, Pacstrap)
    assert (strap.ignore, strap.spare) == (("vi", "nano"), ())
    strap = module_of(recipe(ignore=()), "pacstrap")
    assert isinstance(strap, Pacstrap)
    assert (strap.ignore, strap.spare) == ((), ())


def test_what_is_asked_for_is_not_spared() -> None:
    strap = module_of(recipe(packages="base,nano"), "pacstrap")
    assert isinstance(strap, Pacstrap)
    assert "nano" not in strap.spare


def test_the_spared_packages_are_the_scripts() -> None:
    assert len(playbook.SPARE) == 21
    assert list(playbook.SPARE) == sorted(playbook.SPARE)


def test_no_secret_and_nothing_volatile_ships() -> None:
    image = recipe().image
    assert image
    assert {*SECRETS, "/dev/*", "/etc/hostname", "/etc/pacman.d/gnupg/S.*"} <= set(image.exclude)
    private = recipe(keyring_state="private").image
    assert private
    assert not set(SECRETS) & set(private.exclude)
    nodes = recipe(devnodes="yes").image
    assert nodes
    assert "/dev/*" not in nodes.exclude


def test_a_default_locale_is_generated() -> None:
    locale = module_of(recipe(lang="de_DE.UTF-8"), "locale")
    assert locale.history() == "locale lang=de_DE.UTF-8 generate=en_US.UTF-8,de_DE.UTF-8"


def test_haveged_comes_and_goes() -> None:
    made = recipe(haveged="yes")
    strap, keyring = module_of(made, "pacstrap"), module_of(made, "keyring")
    assert isinstance(strap, Pacstrap)
    assert strap.packages == ("base", "haveged")
    assert [r.label for r in keyring.resources()][-1] == "command remove haveged"
    # Without a keyring there is nothing to make random numbers for.
    strap = module_of(recipe(haveged="yes", keyring_state="empty"), "pacstrap")
    assert isinstance(strap, Pacstrap)
    assert strap.packages == ("base",)


def test_the_image_can_have_another_mirror_than_the_build() -> None:
    made = recipe(mirror="http://127.0.0.1:8000", image_mirror=MIRROR)
    listed = module_of(made, "mirrorlist")
    assert isinstance(listed, Mirrorlist)
    assert listed.urls == (f"{MIRROR}/$repo/os/$arch",)


def test_labels_are_added_and_replaced() -> None:
    title = "org.opencontainers.image.title"
    image = recipe(labels=(f"{title}=A stand-in", "org.example.x=a=b")).image
    assert image
    assert image.labels[title] == "A stand-in"
    assert image.labels["org.example.x"] == "a=b"
    assert "org.opencontainers.image.url" in image.labels
    with pytest.raises(UsageError):
        recipe(labels="nonsense")


def test_a_given_keyring_is_trusted_and_the_hosts_not_needed(tmp_path: Path) -> None:
    made = recipe(keyring=str(keyring_folder(tmp_path)))
    strap = module_of(made, "pacstrap")
    assert isinstance(strap, Pacstrap)
    assert strap.keyring == KEYS
    for given, needed in ((made, False), (recipe(), True)):
        (packages,) = given.host
        assert isinstance(packages, Packages)
        assert isinstance(packages.names, Mapping)
        for names in packages.names.values():
            assert ("archlinux-keyring" in names) == needed


def test_architectures_have_their_names_and_mirrors() -> None:
    assert recipe({"arch": "aarch64"}, mirror=MIRROR).architecture == "arm64"
    assert recipe({"arch": "armv7l"}, mirror=MIRROR).architecture == "arm"
    with pytest.raises(UsageError, match="x86_64 only"):
        recipe({"arch": "aarch64"})
    with pytest.raises(UsageError, match="'pdp11'"):
        recipe(architecture="pdp11")


def test_a_port_of_arch_has_a_keyring_and_an_architecture_of_its_own(tmp_path: Path) -> None:
    for name in ("archlinuxarm.gpg", "archlinuxarm-trusted"):
        (tmp_path / name).write_bytes(b"\x99")
    given = {"mirror": MIRROR, "keyring": str(tmp_path), "keyring_name": "archlinuxarm"}
    made = recipe({"arch": "armv7l"}, **given)
    strap, conf = module_of(made, "pacstrap"), module_of(made, "pacman_conf")
    ring = module_of(made, "keyring")
    assert isinstance(strap, Pacstrap)
    assert isinstance(ring, Keyring)
    assert isinstance(conf, PacmanConf)
    assert (strap.keyring_name, ring.keyring) == ("archlinuxarm", "archlinuxarm")
    assert set(strap.keyring) == {f"archlinuxarm{end}" for end in (".gpg", "-trusted", "-revoked")}
    assert (strap.architecture, conf.architecture) == ("armv7h", "armv7h")
    conf = module_of(recipe(), "pacman_conf")
    assert isinstance(conf, PacmanConf)
    assert conf.architecture == "auto"


def test_system_users_that_are_missing_are_seen(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.conf").write_text(
        "# type name id\ng wheel -\nu nobody 65534:65534 -\nu!\tsync 4:65534 -\n"
        'u "gone" -\ng lost 7\nu user-%i -\nm sync wheel\nr - 500-900\n'
    )
    (tmp_path / "passwd").write_text("nobody:x:\nsync:x:\n")
    (tmp_path / "group").write_text("wheel:x:\nnogroup:x:\n")
    script = MISSING.replace("/usr/lib/sysusers.d", f"{tmp_path}/d").replace("/etc", str(tmp_path))
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert said == "gone\nlost\n"


def test_an_arch_host_is_prepared_and_no_other() -> None:
    book = REGISTRY[arch_host.__name__]
    made = book.recipe(book.settings([]), {"os": "arch"})
    assert [module.name for module in made.host] == ["packages"]
    assert made.image is None
    given = {"mirror": MIRROR, "lang": "de_DE.UTF-8", "locales": "en_US.UTF-8", "timezone": "UTC"}
    made = book.recipe(book.settings([("here", given)]), {"os": "manjaro", "os_like": "arch"})
    names = [step.name for step in steps(made)]
    assert names == ["mirrorlist", "packages", "timezone", "locale"]
    assert made.host[-1].history().endswith("generate=en_US.UTF-8,de_DE.UTF-8")
    made = book.recipe(book.settings([("here", {"lang": "de_DE.UTF-8"})]), {"os": "arch"})
    assert made.host[-1].history() == "locale lang=de_DE.UTF-8"
    with pytest.raises(UsageError, match="does not run Arch"):
        book.recipe(book.settings([]), {"os": "debian"})
