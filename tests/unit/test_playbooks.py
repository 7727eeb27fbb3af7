"""What the playbooks share: the same modules, for whatever root."""

from __future__ import annotations

import pytest

from rootwright.doctor import tool
from rootwright.modules.locale import Locale
from rootwright.modules.packages import Packages
from rootwright.modules.timezone import Timezone
from rootwright.playbook import REGISTRY, Recipe
from rootwright.playbooks import arch, arch_host, debian, debian_host, ubuntu

DEBIAN = {
    "os": "debian",
    "codename": "trixie",
    "arch": "x86_64",
    "dpkg_architecture": "amd64",
    "apt_targets": (
        "http://a.example.org/debian/ trixie Debian\n"
        "http://b.example.org/debian-security/ trixie-security Debian-Security"
    ),
    "bootstrap_tools": "/usr/bin/mmdebstrap",
}
HOSTS = {
    arch.__name__: {"os": "arch", "arch": "x86_64"},
    arch_host.__name__: {"os": "arch", "arch": "x86_64"},
    debian.__name__: DEBIAN,
    debian_host.__name__: DEBIAN,
    ubuntu.__name__: DEBIAN,
}


def recipe(name: str) -> Recipe:
    """Return what the playbook of a file wants when a locale and a time zone are asked for."""
    book = REGISTRY[name.rpartition(".")[2]]
    asked = {"lang": "de_DE.UTF-8", "timezone": "Europe/Paris"}
    return book.recipe(book.settings([("the test", asked)]), HOSTS[name])


@pytest.mark.parametrize("name", HOSTS)
def test_locale_and_time_zone_are_the_same_modules_everywhere(name: str) -> None:
    made = recipe(name)
    modules = [*made.host, *made.root]
    (locale,) = [module for module in modules if isinstance(module, Locale)]
    (zone,) = [module for module in modules if isinstance(module, Timezone)]
    assert (locale.lang, zone.zone) == ("de_DE.UTF-8", "Europe/Paris")
    # A host's own root and an image's alike.
    assert (locale in made.host, zone in made.host) == ((made.image is None,) * 2)


def test_what_doctor_looks_for_is_what_the_playbook_installs() -> None:
    book = REGISTRY["arch"]
    assert list(book.tools) == ["pacstrap", "pacman", "gpg", "gpg-agent"]
    (packages,) = [module for module in recipe(arch.__name__).host if isinstance(module, Packages)]
    assert isinstance(packages.names, dict)
    for command, package in book.tools.items():
        assert isinstance(package, dict)
        for family, name in package.items():
            assert name in packages.names[family]
        mend = tool(command, package).judge("").mend
        assert mend == f"apt-get install {package['apt']}   (Arch: pacman -S {package['pacman']})"
    assert tool("tar", "tar").judge("").mend == "apt-get install tar   (Arch: pacman -S tar)"
