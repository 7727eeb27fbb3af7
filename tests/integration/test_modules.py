"""Every module on a real Debian root, twice: the second time changes nothing."""

from __future__ import annotations

import shutil
import stat
import subprocess
import urllib.request
import zoneinfo
from collections.abc import Iterator
from pathlib import Path

import pytest

from rootwright.errors import StepError
from rootwright.module import REGISTRY, Module
from rootwright.modules import (
    Absent,
    AptConf,
    AptSource,
    AptSources,
    Command,
    Debootstrap,
    Directory,
    File,
    Group,
    Hostname,
    Locale,
    MachineId,
    Packages,
    PolicyRcD,
    Prune,
    RootAccount,
    Slim,
    Symlink,
    Template,
    Timezone,
    User,
    Users,
)
from rootwright.playbook import REGISTRY as PLAYBOOKS
from rootwright.playbooks._debian_family import Mirrors, mirrors_of
from rootwright.playbooks.debian import ARCHIVE, STABLE, debian
from rootwright.resource import Symlink as Link
from tests.support.needs import lacks_program, lacks_root, needs
from tests.support.root import Root, tar_digest

HASH = (
    "$6$salt$IxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130MTSuDDl3aCI6WouIL9AjRbLCelDCy.g."
)


def here() -> dict[str, str]:
    """This machine's facts, as a session would find them."""
    facts = {"os": 'printf %s "$ID"', "codename": 'printf %s "${VERSION_CODENAME-}"'}
    scripts = {name: f". /etc/os-release; {script}" for name, script in facts.items()}
    scripts |= {fact.name: fact.script for fact in PLAYBOOKS["debian"].facts}
    return {
        name: subprocess.run(
            ["sh", "-c", script], capture_output=True, text=True, check=False
        ).stdout.strip()
        for name, script in scripts.items()
    }


@pytest.fixture(scope="session")
def mirrors() -> Mirrors:
    needs(lacks_root(), lacks_program("mmdebstrap", "mmdebstrap"))
    facts = here()
    found = mirrors_of(facts, ARCHIVE)
    main = found.main or facts["tool_mirror"]
    security = found.security or facts["tool_security_mirror"]
    if not main or not security:
        pytest.skip("nothing on this machine names a mirror of Debian and its security updates")
    try:
        urllib.request.urlopen(f"{main}/dists/{STABLE}/InRelease", timeout=10).close()
    except OSError as e:
        pytest.skip(f"Debian's mirror is out of reach: {main}: {e}")
    return Mirrors(main, security)


def bootstrap(mirrors: Mirrors, architecture: str = "") -> Debootstrap:
    native = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return Debootstrap(
        suite=STABLE,
        mirror=mirrors.main,
        security_mirror=mirrors.security,
        packages=("locales",),
        architecture=architecture or native,
    )


def sources(mirrors: Mirrors) -> AptSources:
    main = AptSource(uri=mirrors.main, suites=(STABLE, f"{STABLE}-updates"))
    return AptSources(
        entries=(main, AptSource(uri=mirrors.security, suites=(f"{STABLE}-security",)))
    )


@pytest.fixture(scope="session")
def made(mirrors: Mirrors, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Root]:
    """A root as the playbook makes it before anything else, made once."""
    root = Root.make(tmp_path_factory.mktemp("made"))
    root.converge(bootstrap(mirrors))
    root.converge(PolicyRcD())
    root.converge(AptConf())
    root.converge(sources(mirrors))
    yield root
    shutil.rmtree(root.folder)


@pytest.fixture
def root(made: Root, tmp_path: Path) -> Iterator[Root]:
    """A copy of it for one test."""
    folder, changes, work = (tmp_path / name for name in ("root", "changes", "work"))
    for made_here in (folder, changes, work):
        made_here.mkdir()
    options = f"lowerdir={made.folder},upperdir={changes},workdir={work}"
    mounted = subprocess.run(
        ["mount", "-t", "overlay", "-o", options, "overlay", folder],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        subprocess.run(["cp", "-a", f"{made.folder}/.", folder], check=True)
    yield Root(folder)
    if mounted.returncode == 0:
        subprocess.run(["umount", folder], check=True)
    # pytest keeps the folders of three runs: too much for roots.
    for made_here in (folder, changes, work):
        shutil.rmtree(made_here)


def digest(root: Root) -> str:
    """The digest of the root as an image would have it."""
    return tar_digest(root.path, (root.state / "epoch").read_text().strip())


def files(root: Root) -> str:
    """Everything in the root with its dates: what a needless change would betray itself by."""
    words = ["find", ".", "-xdev", "-printf", "%p %y %m %U %G %l %s %T@ %i\\n"]
    return subprocess.run(words, cwd=root.path, capture_output=True, text=True, check=True).stdout


def inside(root: Root, *words: str) -> str:
    """What a command prints in the root."""
    return subprocess.run(
        ["chroot", root.path, *words], capture_output=True, text=True, check=True
    ).stdout


def refusal(root: Root, module: Module) -> str:
    """Why a module cannot be, in its own words."""
    with pytest.raises(StepError) as caught:
        root.converge(module)
    said = [line for line in caught.value.output.splitlines() if line.startswith("rootwright: ")]
    assert said, caught.value.output
    return said[-1].removeprefix("rootwright: ")


TWICE: dict[str, Module] = {
    "absent": Absent(patterns=("/etc/*.conf",), keep="*/gai.conf"),
    "command": Command(title="greet", run="echo hi >/hi", creates="/hi"),
    "directory": Directory(path="/srv/data", mode=0o2750, owner="daemon", group="adm"),
    "file": File(path="/srv/file", content=b"\0\xff", mode=0o600, owner="www-data", group=33),
    "template": Template(path="/srv/t", template="{{ a }}\n", values={"a": "é"}),
    "symlink": Symlink(path="/srv/link", to="../etc/passwd", must_exist=True),
    "hostname": Hostname(hostname="debian"),
    "machine_id": MachineId(state="uninitialized"),
    "timezone": Timezone(zone="Europe/Paris"),
    "locale": Locale(lang="en_US.UTF-8", generate=("en_US.UTF-8",)),
    "users": Users(
        groups=(Group(name="team", gid=4000), Group(name="games", present=False)),
        users=(
            User(
                name="app",
                uid=4001,
                group="team",
                groups=("adm", "audio"),
                home="/srv/home/app",
                shell="/bin/bash",
                comment="An app",
                password_hash=HASH,
            ),
            User(name="daemonic", system=True, shell="/usr/sbin/nologin"),
            User(name="games", present=False),
        ),
    ),
    "slim": Slim(),
}
"""Modules that have something to do on the root as it was made."""


@pytest.mark.parametrize("name", TWICE)
def test_the_second_time_changes_nothing(root: Root, name: str) -> None:
    module = TWICE[name]
    assert root.converge(module) != []
    seen = files(root)
    assert root.converge(module) == []
    assert [status for status, _ in root.force(module.resources())] == [0] * len(
        list(module.resources())
    )
    assert files(root) == seen


def test_what_is_as_wanted_from_the_start_is_left_alone(root: Root, mirrors: Mirrors) -> None:
    seen = files(root)
    for module in (
        bootstrap(mirrors),
        PolicyRcD(),
        AptConf(),
        sources(mirrors),
        MachineId(),
        RootAccount(),
        Prune(),
        Slim(enabled=False),
        Timezone(),
        Packages(names=("apt", "mawk", "awk", "libc6", "locales")),
        Locale(generate=None, lang="C.UTF-8"),
    ):
        made = root.converge(module)
        assert made == [] or isinstance(module, Locale), (module, made)
    assert root.converge(Locale()) == []
    changed = set(files(root).splitlines()) - set(seen.splitlines())
    assert {line.split()[0] for line in changed} == {"./etc", "./etc/locale.conf"}


def test_every_module_of_this_playbook_is_tested_here() -> None:
    tested = set(TWICE) | {"debootstrap", "policy_rc_d", "apt_conf", "apt_sources"}
    tested |= {"root_account", "prune", "packages"}
    made = debian({"dpkg_architecture": "amd64"}, mirror="http://m/d", security_mirror="none")
    ours = {module.name for module in (*made.host, *made.root)}
    assert ours <= tested <= set(REGISTRY)


def test_what_the_modules_made(root: Root, mirrors: Mirrors) -> None:
    for module in TWICE.values():
        root.converge(module)
    path = root.path
    # The plain ones.
    assert not (path / "etc/debconf.conf").exists()
    assert (path / "etc/gai.conf").exists()
    folder = (path / "srv/data").stat()
    assert (stat.S_IMODE(folder.st_mode), folder.st_uid, folder.st_gid) == (0o2750, 1, 4)
    made = (path / "srv/file").stat()
    assert (stat.S_IMODE(made.st_mode), made.st_uid, made.st_gid) == (0o600, 33, 33)
    assert (path / "srv/t").read_text() == "é\n"
    # The system's own.
    assert (path / "etc/hostname").read_text() == "debian\n"
    assert (path / "etc/machine-id").read_text() == "uninitialized\n"
    assert inside(root, "date", "+%Z", "-d", "2024-01-01") == "CET\n"
    assert inside(root, "localedef", "--list-archive") == "en_US.utf8\n"
    assert (path / "etc/default/locale").read_text() == "LANG=en_US.UTF-8\n"
    assert inside(root, "id", "app") == (
        "uid=4001(app) gid=4000(team) groups=4000(team),4(adm),29(audio)\n"
    )
    assert inside(root, "getent", "passwd", "app") == (
        "app:x:4001:4000:An app:/srv/home/app:/bin/bash\n"
    )
    assert (path / "srv/home/app/.profile").exists()
    shadow = (path / "etc/shadow").read_text()
    assert f"app:{HASH}:" in shadow
    days = int((root.state / "epoch").read_text()) // 86400
    assert {line.split(":")[2] for line in shadow.splitlines()} <= {str(days)}
    info = (path / "etc/shadow").stat()
    assert (stat.S_IMODE(info.st_mode), info.st_gid) == (0o640, 42)
    # apt's.
    listed = inside(root, "apt-get", "indextargets", "--format", "$(SIGNED_BY)")
    assert "/etc/apt/sources.list" not in listed
    config = inside(root, "apt-config", "dump")
    for wanted in ('Acquire::GzipIndexes "true"', '"none"', "DPkg::Post-Invoke"):
        assert wanted in config
    assert not (path / "etc/apt/sources.list").exists()
    assert stat.S_IMODE((path / "usr/sbin/policy-rc.d").stat().st_mode) == 0o755
    # Slim: copyrights stay, and so does what apt needs.
    assert (path / "usr/share/doc/bash/copyright").exists()
    assert not (path / "usr/share/doc/bash/changelog.Debian.gz").exists()
    assert (path / "usr/share/man/man1").is_dir()
    assert list((path / "usr/share/man/man1").iterdir()) == []


# --- locales ---------------------------------------------------------------------------------


def test_locales_come_and_go(root: Root) -> None:
    start = digest(root)
    root.converge(Locale(generate=("de_DE ISO-8859-1", "sr_RS@latin UTF-8", "en_US.ISO-8859-15")))
    listed = inside(root, "localedef", "--list-archive").split()
    # Names without a character set stand there with theirs too, and with their old aliases.
    assert {"de_DE", "de_DE.iso88591", "deutsch", "sr_RS@latin", "en_US.iso885915"} <= set(listed)
    assert (
        root.observe(
            Locale(
                generate=("de_DE ISO-8859-1", "sr_RS@latin UTF-8", "en_US.ISO-8859-15")
            ).resources()
        )
        == [None] * 4
    )
    one = Locale(generate=("en_US.UTF-8 UTF-8", "C.UTF-8"), lang="en_US.UTF-8")
    root.converge(one)
    assert inside(root, "localedef", "--list-archive") == "en_US.utf8\n"
    alone = digest(root)
    two = Locale(generate=("en_US.UTF-8", "de_DE.UTF-8"), lang="en_US.UTF-8")
    changes = root.converge(two)
    assert [change.summary.partition(":")[0] for change in changes] == ["new content", "run"]
    assert root.converge(one) != []
    assert digest(root) == alone
    root.converge(Locale(generate=()))
    assert not (root.path / "usr/lib/locale/locale-archive").exists()
    assert root.observe(Locale(generate=()).resources()) == [None] * 4
    assert digest(root) != start  # the default is written, and the list is ours


def test_a_locale_made_by_hand_is_removed(root: Root) -> None:
    wanted = Locale(generate=("en_US.UTF-8",))
    root.converge(wanted)
    inside(root, "localedef", "-i", "fr_FR", "-f", "UTF-8", "fr_FR.UTF-8")
    assert len(root.converge(wanted)) == 1
    assert inside(root, "localedef", "--list-archive") == "en_US.utf8\n"


def test_locales_that_are_not_managed_stay(root: Root) -> None:
    root.converge(Locale(generate=("en_US.UTF-8",)))
    root.converge(Locale(generate=None, lang="de_DE.UTF-8"))
    assert inside(root, "localedef", "--list-archive") == "en_US.utf8\n"
    assert (root.path / "etc/locale.conf").read_text() == "LANG=de_DE.UTF-8\n"


def test_an_unknown_locale_is_named(root: Root) -> None:
    said = refusal(root, Locale(generate=("xx_YY.UTF-8", "en_US.UTF-8")))
    assert "knows no locale xx_YY.UTF-8 with the character set UTF-8" in said


def test_without_locale_gen_the_package_is_named(root: Root) -> None:
    (root.path / "usr/sbin/locale-gen").unlink()
    assert "the package locales" in refusal(root, Locale(generate=("en_US.UTF-8",)))


# --- time zones ------------------------------------------------------------------------------


def test_a_zone_that_the_root_lacks_is_named(root: Root) -> None:
    (root.path / "usr/share/zoneinfo/Asia/Tokyo").unlink()
    said = refusal(root, Timezone(zone="Asia/Tokyo"))
    assert said == "/usr/share/zoneinfo/Asia/Tokyo does not exist in the root"


def test_the_file_of_the_zone_is_kept_in_step_where_there_is_one(root: Root) -> None:
    file = root.path / "etc/timezone"
    root.converge(Timezone(zone="Asia/Tokyo"))
    assert not file.exists()
    file.write_text("Mars/Olympus\n")
    (change,) = root.converge(Timezone(zone="Asia/Tokyo"))
    assert (change.before, change.after) == ("Mars/Olympus\n", "Asia/Tokyo\n")


def test_the_hosts_own_zone_can_be_looked_at(tmp_path: Path) -> None:
    needs(lacks_root())
    link = Path("/etc/localtime")
    name = str(link.readlink()).partition("zoneinfo/")[2] if link.is_symlink() else ""
    if name not in zoneinfo.available_timezones():
        pytest.skip("this machine's own zone is no link")
    host = Root(tmp_path, scope="host")
    resource = next(r for r in Timezone(zone=name).resources() if isinstance(r, Link))
    (change,) = host.observe([resource])
    assert change is None or change.before


# --- packages --------------------------------------------------------------------------------


def test_packages_are_installed_without_recommended_ones(root: Root) -> None:
    wanted = Packages(names={"apt": ("hello", "ca-certificates"), "pacman": ("other",)})
    start = digest(root)
    assert len(root.converge(wanted)) == 1
    assert inside(root, "hello") == "Hello, world!\n"
    assert root.converge(wanted) == []
    assert digest(root) != start
    root.converge(Prune())
    seen = files(root)
    assert root.converge(Prune()) == []
    assert root.converge(wanted) == []
    assert files(root) == seen
    for name in ("var/lib/apt/lists", "var/cache/apt", "var/log/apt"):
        assert list((root.path / name).iterdir()) == []


def test_a_package_that_does_not_exist_is_named(root: Root) -> None:
    said = refusal(root, Packages(names=("hello", "no-such-package")))
    assert "no-such-package" in said
    assert "hello" not in said


def test_packages_in_an_image_start_no_daemon(root: Root) -> None:
    (root.path / "usr/sbin/policy-rc.d").unlink()
    assert "put PolicyRcD before Packages" in refusal(root, Packages(names=("hello",)))


def test_packages_on_the_host_are_seen(tmp_path: Path) -> None:
    needs(lacks_root(), lacks_program("dpkg-query", "dpkg"))
    host = Root(tmp_path, scope="host")
    assert host.observe(Packages(names=("dpkg", "awk", "apt")).resources()) == [None]
    assert host.observe(Packages(names=("no-such-package",)).resources()) != [None]


# --- users -----------------------------------------------------------------------------------


def test_a_user_is_changed_where_it_differs_and_only_there(root: Root) -> None:
    root.converge(Users(users=(User(name="app", uid=1234, groups=("adm",)),)))
    more = Users(users=(User(name="app", shell="/bin/sh", groups=("audio",), comment=""),))
    assert len(root.converge(more)) == 1
    assert inside(root, "id", "-Gn", "app") == "app audio\n"
    assert inside(root, "getent", "passwd", "app") == "app:x:1234:1234::/home/app:/bin/sh\n"
    assert root.converge(Users(users=(User(name="app", groups=()),))) != []
    assert inside(root, "id", "-Gn", "app") == "app\n"


def test_a_number_is_never_changed(root: Root) -> None:
    root.converge(Users(users=(User(name="app", uid=1234),), groups=(Group(name="g", gid=99),)))
    said = refusal(root, Users(users=(User(name="app", uid=1235),)))
    assert said == "the user app has the number 1234, not 1235, and files may belong to it"
    assert "the number 99, not 98" in refusal(root, Users(groups=(Group(name="g", gid=98),)))


def test_a_missing_group_is_named(root: Root) -> None:
    said = refusal(root, Users(users=(User(name="app", groups=("nobody-here",)),)))
    assert said == "the root has no group nobody-here, which app is to be in"


def test_a_password_is_seen_by_nobody(root: Root) -> None:
    module = Users(users=(User(name="app", password_hash=HASH),))
    for resource in module.resources():
        assert HASH not in resource.probe() + repr(resource)
        assert HASH not in resource.replay(str(root.path))
    (first, second) = root.converge(module)
    assert HASH not in f"{first}{second}{module.history()}"
    # What is built into the shell is no process with arguments.
    script = "\n".join(resource.converge() for resource in module.resources())
    assert script.count(HASH) == script.count(f"\nprintf '%s\\n' '{HASH}' | ") == 1
    assert root.observe(module.resources()) == [None, None]


def test_users_go(root: Root) -> None:
    root.converge(Users(users=(User(name="app"),)))
    gone = Users(users=(User(name="app", present=False),))
    assert len(root.converge(gone)) == 1
    assert root.converge(gone) == []
    assert "app:" not in (root.path / "etc/passwd").read_text()


@pytest.mark.parametrize(("field", "locked"), [("", False), (HASH, False), ("!", True)])
def test_the_root_account(root: Root, field: str, locked: bool) -> None:
    shadow = root.path / "etc/shadow"
    shadow.write_text(shadow.read_text().replace("root:*:", f"root:{field}:", 1))
    assert (root.converge(RootAccount()) == []) == locked
    assert shadow.read_text().startswith("root:!:" if locked else "root:*:")
    assert root.converge(RootAccount()) == []


# --- slim ------------------------------------------------------------------------------------


def test_slim_is_undone_to_the_last_byte(root: Root) -> None:
    start = digest(root)
    root.converge(Slim())
    assert digest(root) != start
    assert len(root.converge(Slim(enabled=False))) == 1
    assert digest(root) == start
    assert root.converge(Slim(enabled=False)) == []


def test_slim_keeps_new_packages_slim(root: Root) -> None:
    root.converge(Slim())
    root.converge(Packages(names=("hello",)))
    assert root.observe(Slim().resources()) == [None, None]
    assert (root.path / "usr/share/doc/hello/copyright").exists()


# --- machine IDs -----------------------------------------------------------------------------


def test_a_machine_id_never_ships(root: Root) -> None:
    (root.path / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (root.path / "var/lib/dbus").mkdir(parents=True)
    (root.path / "var/lib/dbus/machine-id").symlink_to("/etc/machine-id")
    assert len(root.converge(MachineId())) == 2
    assert not (root.path / "etc/machine-id").exists()
    root.converge(MachineId(state="empty"))
    assert (root.path / "etc/machine-id").read_bytes() == b""
