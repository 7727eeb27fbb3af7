"""build-arch, the whole program: from the sample mirror and from any other, here and over SSH.

One file, so that one worker has it: the sample mirror is served on one port.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rootwright.sample_mirror import SampleMirror, Server, faults, serve
from tests.support.arch import ArchPlace
from tests.support.arch_host import arch_host
from tests.support.engine import Engine
from tests.support.needs import lacks_program, needs
from tests.support.program import Ended, refused
from tests.support.sshd import Sshd, lacks_sshd

EMPTY = ("--keyring-state", "empty")
"""What makes the image the same every time."""


@pytest.fixture(scope="module")
def bare(
    sample: SampleMirror, samples: Path, dockerd: Engine, tmp_path_factory: pytest.TempPathFactory
) -> ArchPlace:
    """A place to run the program in where nothing was built yet."""
    needs(lacks_program("docker", "docker.io"), lacks_sshd())
    return ArchPlace(tmp_path_factory.mktemp("arch"), samples, dockerd.url)


@pytest.fixture(scope="module")
def first(bare: ArchPlace) -> tuple[Ended, Ended]:
    """A look before anything exists, and the first build, from the sample mirror."""
    images = bare.images()
    looked = bare.build("--check", "--json", *EMPTY)
    assert not Path(bare.work_dir).exists()
    assert bare.images() == images
    built = bare.build("--json", *EMPTY)
    assert built.code == 0, built.stderr
    return looked, built


@pytest.fixture(scope="module")
def mirror(sample: SampleMirror) -> Iterator[Server]:
    """A signed mirror that the program knows nothing of but its URL."""
    with serve(sample.served) as server:
        yield server


@pytest.fixture(scope="module")
def shipped(
    sample: SampleMirror,
    samples: Path,
    mirror: Server,
    dockerd: Engine,
    tmp_path_factory: pytest.TempPathFactory,
) -> ArchPlace:
    """A place where an image was built from that mirror, with a server for SSH in it."""
    place = ArchPlace(tmp_path_factory.mktemp("url"), samples, dockerd.url, "demo/arch-url:1")
    source = ("--mirror", mirror.url, "--keyring", str(sample.keyring))
    ended = place.build(*source, "--packages", "base,openssh", "--json")
    assert ended.code == 0, ended.stderr
    assert "sample" not in ended.stderr
    return place


@pytest.fixture(scope="module")
def archie(shipped: ArchPlace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A host that runs Arch: a container of that image."""
    with arch_host(shipped, tmp_path_factory.mktemp("archie") / "host") as server:
        yield server


# From the sample mirror.


def test_a_look_before_anything_exists_says_all_and_makes_nothing(
    first: tuple[Ended, Ended],
) -> None:
    looked, built = first
    assert looked.code == 0, looked.stderr
    names = [module["name"] for module in built.host["modules"]]
    assert "pacstrap" in names
    # Of the host's own packages it can tell; of a root that is not there yet, nothing is ok.
    assert looked.modules("would change") == [name for name in names if name != "packages"]
    assert (looked.host["changed"], looked.host["image"]) == (0, None)


def test_an_image_made_here_and_one_made_anew_are_the_same(
    bare: ArchPlace, first: tuple[Ended, Ended]
) -> None:
    fresh = bare.build("--fresh", "--json", *EMPTY)
    assert fresh.code == 0, fresh.stderr
    assert "pacstrap" in fresh.modules("changed")
    assert fresh.host["image"] | {"state": "", "sent_bytes": 0} == first[1].host["image"] | {
        "state": "",
        "sent_bytes": 0,
    }


def test_a_locale_more_changes_the_locales_and_the_image_alone(
    bare: ArchPlace, first: tuple[Ended, Ended]
) -> None:
    place = replace(bare, tag="demo/arch-locale:1")
    more = ("--locales", "en_US.UTF-8,de_DE.UTF-8", "--diff", "--json", *EMPTY)
    looked = place.build(*more, "--check")
    assert looked.modules("would change") == ["locale"]
    ended = place.build(*more)
    assert ended.code == 0, ended.stderr
    assert ended.modules("changed") == ["locale"]
    (locale,) = [module for module in ended.host["modules"] if module["name"] == "locale"]
    assert [change["resource"] for change in locale["changes"]] == [
        "file /etc/locale.gen",
        "command locales",
    ]
    for said in (looked.stderr, ended.stderr):
        lines = [line.strip() for line in said.splitlines()]
        assert "+de_DE.UTF-8 UTF-8" in lines
        assert "-en_US.UTF-8 UTF-8" not in lines
    assert ended.host["image"]["state"] == "changed"
    assert ended.host["image"]["id"] != first[1].host["image"]["id"]
    assert "de_DE.utf8" in place.contained("locale", "-a")


def test_a_host_that_allows_no_tunnel_is_refused(bare: ArchPlace, tmp_path: Path) -> None:
    with Sshd(tmp_path / "sshd", options=["AllowTcpForwarding no"]) as server:
        place = replace(bare, work_dir=str(tmp_path / "far"))
        ended = place.build(*place.over_ssh(server))
    refused(ended, 3, "does not let us open a tunnel back", "AllowTcpForwarding yes")
    assert not Path(place.work_dir).exists()
    assert place.left() == []


# From another mirror, known by its URL and its keys.


def test_the_image_says_success(shipped: ArchPlace) -> None:
    assert shipped.contained("echo", "Success") == "Success\n"


def test_the_image_is_whole_and_keeps_no_secret(shipped: ArchPlace) -> None:
    script = """
    pacman -Qqk 2>/dev/null | cat
    locale -a
    date +%Z
    find / -xdev '(' -name '*.key' -o -name 'S.gpg-agent*' ')'
    gpg --homedir /etc/pacman.d/gnupg --list-secret-keys 2>/dev/null
    grep ^root: /etc/shadow
    """
    *said, shadow = shipped.contained("sh", "-c", script).splitlines()
    # Anything else would be a file that is missing, or a secret.
    assert said == ["C", "C.utf8", "POSIX", "en_US.utf8", "UTC"]
    assert shadow.startswith(("root:*:", "root:!:"))


def test_the_images_pacman_installs_what_is_signed_and_nothing_else(
    shipped: ArchPlace, sample: SampleMirror, tmp_path: Path
) -> None:
    install = "pacman -Sy --noconfirm nano"
    said = shipped.contained("sh", "-c", f"{install} && nano --version", network="host")
    assert "GNU nano" in said
    bad = faults.tampered(sample, tmp_path / "bad", "nano")
    with serve(bad.served) as server:
        other = f"echo 'Server = {server.mirror}' >/etc/pacman.d/mirrorlist"
        said = shipped.contained("sh", "-c", f"{other}; ! {install}", network="host")
    assert "invalid or corrupted package (PGP signature)" in said


# Arch builds Arch.


def test_a_host_that_runs_arch_makes_the_same_image(
    bare: ArchPlace, first: tuple[Ended, Ended], archie: Sshd
) -> None:
    tag = "demo/arch-by-arch:1"
    place = replace(bare, tag=tag, work_dir=str(archie.folder.parent / "work"))
    far = place.over_ssh(archie)
    ended = place.build("--json", *far, *EMPTY)
    assert ended.code == 0, ended.stderr
    # It had none of the tools; the mirror came to it through a tunnel.
    assert ended.modules("changed")[:2] == ["packages", "pacstrap"]
    assert ended.host["image"]["id"] == first[1].host["image"]["id"]
    again = place.build("--json", *far, *EMPTY)
    assert (again.code, again.host["changed"]) == (0, 0), again.stderr
    assert (again.host["round_trips"], again.host["image"]["state"]) == (1, "ok")
    assert place.contained("echo", "Success") == "Success\n"


def test_a_host_that_runs_arch_is_prepared_once(bare: ArchPlace, archie: Sshd) -> None:
    place = replace(bare, work_dir=str(archie.folder.parent / "work"))
    asked = ("--packages", "nano", "--lang", "en_US.UTF-8", "--timezone", "Europe/Paris")
    book = ["build-arch-host", "--work-dir", place.work_dir, "--json", *place.over_ssh(archie)]
    once = place.run(*book, *asked)
    assert once.code == 0, once.stderr
    assert once.modules("changed") == ["packages", "timezone", "locale"]
    twice = place.run(*book, *asked)
    assert (twice.code, twice.host["changed"], twice.host["round_trips"]) == (0, 0, 1)
    argv = [*archie.ssh_command(), "nano --version; readlink /etc/localtime; cat /etc/locale.conf"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert "GNU nano" in said
    assert said.splitlines()[-2:] == ["/usr/share/zoneinfo/Europe/Paris", "LANG=en_US.UTF-8"]
