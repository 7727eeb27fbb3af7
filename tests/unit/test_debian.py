"""The playbook debian: what it makes of its options and of what it knows of the host."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rootwright.errors import UsageError
from rootwright.modules.apt_sources import AptSources
from rootwright.modules.debootstrap import Debootstrap
from rootwright.modules.locale import Locale
from rootwright.modules.packages import Packages
from rootwright.plan import steps
from rootwright.playbook import REGISTRY, Recipe
from rootwright.playbooks._debian_family import Mirrors, mirrors_of
from rootwright.playbooks.debian import ARCHIVE, debian

HOST = {
    "os": "debian",
    "codename": "bookworm",
    "arch": "x86_64",
    "dpkg_architecture": "amd64",
    "apt_targets": (
        "http://other.example.org/apt nodistro Node Source\n"
        "http://a.example.org/debian/ bookworm Debian\n"
        "http://a.example.org/debian/ bookworm-updates Debian\n"
        "http://b.example.org/debian-security/ bookworm-security Debian-Security"
    ),
    "bootstrap_tools": "/usr/bin/mmdebstrap\n/usr/sbin/debootstrap",
}
MIRRORS = Mirrors("http://a.example.org/debian", "http://b.example.org/debian-security")


def only(recipe: Recipe, kind: type[Any]) -> Any:
    (found,) = (module for module in (*recipe.host, *recipe.root) if isinstance(module, kind))
    return found


# --- mirrors ---------------------------------------------------------------------------------


def without(host: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in host.items() if name not in names}


def test_mirrors_are_known_by_their_labels() -> None:
    assert mirrors_of(HOST, ARCHIVE) == MIRRORS


def test_mirrors_are_known_by_their_suites_where_apt_never_looked() -> None:
    suites = (
        "https://third.example.org/linux/debian bookworm\n"
        "http://a.example.org/debian bookworm\n"
        "http://a.example.org/debian bookworm-updates\n"
        "http://b.example.org/debian-security bookworm-security"
    )
    host = without(HOST, "apt_targets") | {"apt_suites": suites}
    assert mirrors_of(host, ARCHIVE) == MIRRORS
    # Another distribution's suites say nothing of Debian.
    assert mirrors_of(host | {"os": "ubuntu"}, ARCHIVE) == Mirrors()


def test_a_file_of_mirrors_stands_for_its_first() -> None:
    host = HOST | {
        "apt_targets": "mirror+file:/etc/apt/mirrors/debian.list bookworm Debian\n"
        "mirror+file:/etc/apt/mirrors/none.list bookworm-security Debian-Security",
        "apt_mirror_files": "/etc/apt/mirrors/debian.list http://cdn.example.org/debian\n"
        "/etc/apt/mirrors/none.list ",
    }
    assert mirrors_of(host, ARCHIVE) == Mirrors("http://cdn.example.org/debian", "")


@pytest.mark.parametrize("uri", ["cdrom:[Debian]/", "file:/srv/debian", "ftp://x/debian"])
def test_what_is_no_web_server_is_no_mirror_for_others(uri: str) -> None:
    host = HOST | {"apt_targets": f"{uri} bookworm Debian"}
    assert mirrors_of(host, ARCHIVE).main == ""


def test_elsewhere_the_tool_s_own_default_counts() -> None:
    host = {
        "os": "arch",
        "arch": "x86_64",
        "tool_mirror": "http://t.example.org/debian",
        "tool_security_mirror": "http://t.example.org/security",
    }
    made = only(debian(host), Debootstrap)
    assert made.mirror == "http://t.example.org/debian"
    assert made.security_mirror == "http://t.example.org/security"
    assert made.architecture == "amd64"


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({}, "option mirror"),
        ({"mirror": "http://m.example.org/debian"}, "option security_mirror"),
    ],
)
def test_a_mirror_that_nobody_names_is_asked_for(given: dict[str, str], option: str) -> None:
    with pytest.raises(UsageError) as caught:
        debian({"os": "arch", "arch": "x86_64"}, **given)
    assert caught.value.where == option
    assert "--" + option.removeprefix("option ").replace("_", "-") in caught.value.hint


# --- recipes ---------------------------------------------------------------------------------


def test_the_defaults_make_a_plan() -> None:
    recipe = debian(HOST)
    names = [step.name for step in steps(recipe)]
    assert names[:2] == ["packages", "debootstrap"]
    assert names[-1] == "prune"
    assert names.index("policy_rc_d") < names.index("apt_sources")
    assert recipe.architecture == "amd64"
    assert recipe.image
    assert recipe.image.cmd == ("bash",)
    assert recipe.image.env["LANG"] == "C.UTF-8"
    assert "/run/*" not in recipe.image.exclude
    assert "/proc/*" in recipe.image.exclude


def test_the_image_s_mirror_is_another_where_it_is_asked_for() -> None:
    recipe = debian(HOST, image_mirror="http://public.example.org/debian/", suite="bookworm")
    entries = only(recipe, AptSources).entries
    assert [(e.uri, e.suites) for e in entries] == [
        ("http://public.example.org/debian", ("bookworm", "bookworm-updates")),
        (MIRRORS.security, ("bookworm-security",)),
    ]
    assert only(recipe, Debootstrap).mirror == MIRRORS.main


@pytest.mark.parametrize(
    ("given", "suites"),
    [
        ({}, ["trixie", "trixie-updates", "trixie-security"]),
        ({"security_mirror": "none"}, ["trixie", "trixie-updates"]),
        ({"updates": False}, ["trixie", "trixie-security"]),
        ({"suite": "sid"}, ["sid"]),
    ],
)
def test_suites(given: dict[str, Any], suites: list[str]) -> None:
    recipe = debian(HOST, **given)
    assert [suite for _, suite in only(recipe, Debootstrap).sources()] == suites
    entries = only(recipe, AptSources).entries
    assert [suite for entry in entries for suite in entry.suites] == suites


def test_locales_bring_their_package() -> None:
    assert only(debian(HOST), Debootstrap).packages == ()
    recipe = debian(HOST, lang="de_DE.UTF-8", packages=("curl",))
    assert only(recipe, Debootstrap).packages == ("curl", "locales")
    assert only(recipe, Locale).generate == ("de_DE.UTF-8",)
    assert only(debian(HOST, locales=("C.UTF-8",)), Debootstrap).packages == ()


@pytest.mark.parametrize(
    ("given", "docker"), [("arm64", "arm64"), ("armhf", "arm"), ("ppc64el", "ppc64le")]
)
def test_docker_has_its_own_names_for_architectures(given: str, docker: str) -> None:
    recipe = debian(HOST, architecture=given)
    assert recipe.architecture == docker
    assert only(recipe, Debootstrap).architecture == given


@pytest.mark.parametrize(
    ("tools", "tool", "apt"),
    [
        ("", "auto", "mmdebstrap"),
        ("/usr/sbin/debootstrap", "auto", "debootstrap"),
        ("/usr/bin/mmdebstrap\n/usr/sbin/debootstrap", "auto", "mmdebstrap"),
    ],
)
def test_the_tool_that_is_there_is_used(tools: str, tool: Any, apt: str) -> None:
    names = only(debian(HOST | {"bootstrap_tools": tools}, tool=tool), Packages).names
    assert names["apt"] == (apt, "debian-archive-keyring")


def test_a_given_keyring_travels(tmp_path: Path) -> None:
    file = tmp_path / "keys.gpg"
    file.write_bytes(b"\x99key")
    recipe = debian(HOST, keyring=str(file))
    assert only(recipe, Debootstrap).keyring == b"\x99key"
    assert {e.signed_by for e in only(recipe, AptSources).entries} == {
        "/etc/apt/keyrings/archive.gpg"
    }
    assert "debian-archive-keyring" not in only(recipe, Packages).names["apt"]
    # An apt older than 2.4 does not bring the folder.
    resources = [made for module in recipe.root for made in module.resources()]
    at = [getattr(made, "path", "") for made in resources]
    assert at.index("/etc/apt/keyrings") < at.index("/etc/apt/keyrings/archive.gpg")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("suite", "-x"),
        ("suite", "a b"),
        ("mirror", "http://u:p@h/debian"),
        ("image_mirror", "gopher://h"),
        ("security_mirror", "h"),
        ("components", ("main;",)),
        ("components", ()),
        ("packages", ("--yes",)),
        ("architecture", "x y"),
        ("keyring", "/no/such/file"),
    ],
)
def test_nonsense_names_its_option(option: str, value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        debian(HOST, **{option: value})
    assert caught.value.where.startswith(f"option {option}")


def test_every_option_has_a_help() -> None:
    for option in REGISTRY["debian"].options.values():
        assert option.help, option.name
