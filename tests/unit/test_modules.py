"""The modules' own words and refusals, without any root."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rootwright.errors import UsageError
from rootwright.module import REGISTRY, Module, manual, read_template
from rootwright.modules import load_all
from rootwright.modules.absent import Absent
from rootwright.modules.apt_conf import FILES
from rootwright.modules.apt_sources import AptSource, AptSources
from rootwright.modules.command import Command
from rootwright.modules.debootstrap import (
    Debootstrap,
    binary_keyring,
    check_architecture,
    check_components,
    check_mirror,
    check_packages,
    check_suite,
)
from rootwright.modules.directory import Directory
from rootwright.modules.file import File
from rootwright.modules.hostname import Hostname
from rootwright.modules.locale import Locale
from rootwright.modules.machine_id import MachineId
from rootwright.modules.packages import Packages
from rootwright.modules.slim import Slim
from rootwright.modules.symlink import Symlink
from rootwright.modules.template import Template
from rootwright.modules.timezone import Timezone
from rootwright.modules.users import Group, User, Users
from rootwright.resource import Command as CommandResource
from rootwright.resource import File as FileResource

load_all()
SIX = "$6$salt$" + "x" * 86

FINE: tuple[Module, ...] = (
    Absent(patterns=("/a",)),
    AptSources(entries=(AptSource(uri="http://a.example.org/debian", suites=("trixie",)),)),
    Command(title="go", run="true", creates="/a"),
    Debootstrap(suite="trixie", mirror="http://a.example.org/debian", architecture="amd64"),
    Directory(path="/a"),
    File(path="/a", content=b"\xff" * 100),
    Hostname(hostname="a.b-c.example"),
    Locale(lang="de_DE.UTF-8", generate=("de_DE.UTF-8", "sr_RS@latin UTF-8", "C.UTF-8")),
    MachineId(state="empty"),
    Packages(names={"apt": ("hello", "libc6:i386"), "pacman": ("hello",)}),
    Slim(enabled=False),
    Symlink(path="/a", to="b"),
    Template(path="/a", template="{{ x }}", values={"x": 1}),
    Timezone(zone="America/Argentina/Buenos_Aires"),
    Users(users=(User(name="app", password_hash=SIX),), groups=(Group(name="g", present=False),)),
)


# Tests define modules too; what each of them does with the registry is not our affair.
OURS = sorted(n for n, cls in REGISTRY.items() if cls.__module__.startswith("rootwright.modules."))


@pytest.mark.parametrize("name", OURS)
def test_every_module_has_a_manual(name: str) -> None:
    text = manual(REGISTRY[name])
    first, blank, *_ = text.splitlines()
    assert first.endswith(".")
    assert not blank.strip()
    for reason in (REGISTRY[name].on_host, REGISTRY[name].on_image):
        assert not reason or reason in text


@pytest.mark.parametrize("module", FINE, ids=lambda m: m.name)
def test_what_makes_sense_is_taken(module: Module) -> None:
    resources = list(module.resources())
    assert resources
    assert len({r.label for r in resources}) == len(resources)
    for resource in resources:
        assert resource.probe()
        assert resource.converge()
        assert resource.reads
        assert resource.writes


@pytest.mark.parametrize("module", FINE, ids=lambda m: m.name)
def test_a_history_is_one_short_line(module: Module) -> None:
    line = module.history()
    assert line.split()[0] == module.name
    assert "\n" not in line
    assert len(line) < 200
    assert SIX not in line
    assert "mirror" not in line


def test_a_history_says_that_there_are_none() -> None:
    assert Locale(generate=()).history() == "locale generate=none"


WRONG: dict[str, tuple[Callable[[], Module], str]] = {
    "absent root": (lambda: Absent(patterns=("/",)), "the root's own folder"),
    "file outside": (lambda: File(path="/../etc/x", content=""), "not a path inside a root"),
    "file mode": (lambda: File(path="/a", content="", mode=0o70000), "no file mode"),
    "template": (lambda: Template(path="/a", template="{{ b }}"), "cannot be rendered"),
    "command": (lambda: Command(title="go", run="x"), "exactly one guard"),
    "hostname": (lambda: Hostname(hostname="-a"), "'-a' is no host name"),
    "hostname long": (lambda: Hostname(hostname="a" * 65), "is no host name"),
    "zone": (lambda: Timezone(zone="Mars/Olympus"), "no time zone 'Mars/Olympus'"),
    "zone path": (lambda: Timezone(zone="../../etc/shadow"), "no time zone"),
    "machine id": (lambda: MachineId(state=_any("x")), "no state of a machine ID"),
    "locale": (lambda: Locale(generate=("en_US.UTF-8; id",)), "is no locale"),
    "locale bare": (lambda: Locale(generate=("sr_RS@latin",)), "does not say its character set"),
    "lang": (lambda: Locale(lang="../x"), "is no locale"),
    "lang not made": (lambda: Locale(lang="en_US.UTF-8", generate=()), "not among those generated"),
    "packages": (lambda: Packages(names=("a b",)), "no package's name"),
    "packages option": (lambda: Packages(names=("-x",)), "no package's name"),
    "family": (lambda: Packages(names={"brew": ("a",)}), "no package manager"),
    "source": (lambda: AptSources(entries=()), "without an archive"),
    "source url": (lambda: AptSources(entries=(_source("ftp://x/"),)), "not a mirror's URL"),
    "source file": (
        lambda: AptSources(entries=(_source("http://x/"),), filename="../x.sources"),
        "apt does not read",
    ),
    "user": (lambda: Users(users=(User(name="a:b"),)), "is no name for a user"),
    "user root": (lambda: Users(users=(User(name="root", present=False),)), "does not work"),
    "user home": (lambda: Users(users=(User(name="a", home="/x:y"),)), "no path for a user"),
    "user hash": (lambda: Users(users=(User(name="a", password_hash="secret"),)), "hash of a"),
    "user group": (lambda: Users(users=(User(name="a", groups=("-G",)),)), "name for a group"),
    "user comment": (lambda: Users(users=(User(name="a", comment="x:0:0"),)), "cannot hold"),
}


def _any(value: Any) -> Any:
    return value


def _source(uri: str) -> AptSource:
    return AptSource(uri=uri, suites=("trixie",))


@pytest.mark.parametrize("name", WRONG)
def test_what_makes_no_sense_is_refused(name: str) -> None:
    make, words = WRONG[name]
    with pytest.raises(UsageError, match=words) as caught:
        _ = [resource.probe() for resource in make().resources()]
    assert caught.value.where
    assert "secret" not in str(caught.value)


# --- words that reach tools ------------------------------------------------------------------

CHECKS: tuple[Callable[[str, str], object], ...] = (
    check_mirror,
    check_suite,
    lambda value, where: check_components((value,), where),
    lambda value, where: check_packages((value,), where),
    check_architecture,
)


@pytest.mark.parametrize("check", CHECKS)
@given(st.text())
@example("-x")
@example("a b")
@example("a\n")
@example("a'b")
@example("http://h/;id")
@example("http://-h/")
@example("http://u:p@h/debian")
@example("http://h/debian\n")
@example("")
def test_a_word_is_harmless_or_refused(check: Callable[[str, str], object], text: str) -> None:
    try:
        check(text, "option x")
    except UsageError:
        return
    assert not text.startswith("-")
    assert not set(text) & set(" \t\n\"'`$;&|<>()\\*?!#@\0")


@pytest.mark.parametrize(
    "url",
    [
        "http://deb.example.org/debian",
        "https://mirror.example.org:8443/pub/debian-archive/debian/",
        "http://127.0.0.1:9999/x",
        "http://[2001:db8::1]:80/debian",
    ],
)
def test_mirrors_are_taken(url: str) -> None:
    assert check_mirror(url, "x") == url.rstrip("/")


def test_a_password_in_a_url_is_neither_taken_nor_shown() -> None:
    with pytest.raises(UsageError, match="user or a password") as caught:
        check_mirror("http://me:hunter2@h.example.org/debian", "option mirror")
    assert "hunter2" not in "\n".join(caught.value.lines())


# --- keyrings --------------------------------------------------------------------------------


def armored(data: bytes, checksum: str = "=abcd\n") -> bytes:
    body = base64.encodebytes(data).decode()
    text = f"-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: 1\n\n{body}{checksum}"
    return (text + "-----END PGP PUBLIC KEY BLOCK-----\n").encode()


@given(st.binary(max_size=200))
def test_armor_is_taken_off(body: bytes) -> None:
    key = b"\x99" + body
    for text in (armored(key), armored(key, ""), armored(key).replace(b"\n", b"\r\n")):
        assert binary_keyring(text, "x") == key
    assert binary_keyring(armored(key) + armored(key), "x") == key * 2
    assert binary_keyring(key, "x") == key


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\x00\x00\x00 \x01\x01\x00\x02KBXf",
        b"\x95private",
        b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!!!\n-----END PGP PUBLIC KEY BLOCK-----",
        b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nmQ==\n-----END PGP PRIVATE KEY BLOCK-----",
    ],
)
def test_what_is_no_keyring_is_refused(content: bytes) -> None:
    with pytest.raises(UsageError, match="no OpenPGP public key"):
        binary_keyring(content, "x")


# --- texts -----------------------------------------------------------------------------------


def test_sources_are_written_as_apt_reads_them() -> None:
    module = AptSources(
        entries=(
            AptSource(uri="http://a.example.org/debian", suites=("x", "x-updates")),
            AptSource(
                uri="http://b.example.org/security",
                suites=("x-security",),
                components=("main", "contrib"),
                signed_by="/etc/apt/keyrings/archive.gpg",
            ),
        )
    )
    file = next(iter(module.resources()))
    assert isinstance(file, FileResource)
    assert file.data.decode() == (
        "Types: deb\n"
        "URIs: http://a.example.org/debian\n"
        "Suites: x x-updates\n"
        "Components: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
        "\n"
        "Types: deb\n"
        "URIs: http://b.example.org/security\n"
        "Suites: x-security\n"
        "Components: main contrib\n"
        "Signed-By: /etc/apt/keyrings/archive.gpg\n"
    )


def test_locales_are_listed_once_and_sorted() -> None:
    module = Locale(
        generate=("sr_RS@latin UTF-8", "de_DE.UTF-8", "de_DE.UTF-8 UTF-8", "C", "POSIX")
    )
    assert module.entries() == [("de_DE.UTF-8", "UTF-8"), ("sr_RS@latin", "UTF-8")]


def test_no_text_of_ours_is_missing() -> None:
    for template in FILES.values():
        assert read_template(template).endswith("\n")


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[2].glob("modules/templates/*.sh")))
def test_scripts_are_sh(path: Path) -> None:
    for shell in (["dash"], ["bash", "--posix"], ["busybox", "sh"]):
        try:
            subprocess.run([*shell, "-n", path], check=True)
        except FileNotFoundError:
            pytest.skip(f"{shell[0]} is not installed")


def test_guards_of_modules_do_not_write_a_file_named_null() -> None:
    # A guard has no /dev: what it sends to /dev/null would be a file in the root.
    for module in FINE:
        for resource in module.resources():
            if isinstance(resource, CommandResource):
                assert "2>/dev/null" not in resource.unless
