"""build-ubuntu, and the playbooks for build hosts: the same modules on other roots."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.apt_archive import AptArchive
from tests.support.debs import Deb, text
from tests.support.engine import Engine
from tests.support.needs import lacks_program, lacks_root, needs
from tests.support.program import PROGRAM, Place
from tests.support.tiny_debian import architecture, base_packages, lacks_tiny_debian

RELEASE = "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=24.04\nDISTRIB_CODENAME=noble\n"


def as_in_ubuntu(package: Deb) -> Deb:
    """Return a package of Debian's as Ubuntu has it: mmdebstrap brings neither by itself."""
    if package.name not in ("apt", "tzdata"):
        return package
    return replace(package, fields={**package.fields, "Priority": "important"})


@pytest.fixture(scope="module")
def ubuntu_archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AptArchive]:
    """An archive of Ubuntu's shape: one URL for all suites, and two components."""
    needs(lacks_root(), lacks_program("gpg", "gnupg"), lacks_program("mmdebstrap", "mmdebstrap"))
    needs(lacks_tiny_debian())
    release = Deb(
        "lsb-release-file",
        "1",
        architecture=architecture(),
        fields={"Essential": "yes", "Priority": "required"},
        files={"/etc/lsb-release": text(RELEASE)},
    )
    with AptArchive(
        tmp_path_factory.mktemp("ubuntu"),
        suite="noble",
        path="ubuntu",
        security_path="ubuntu",
        components=("main", "universe"),
        packages=[*map(as_in_ubuntu, base_packages("noble")), release],
    ) as served:
        yield served


def test_an_image_of_ubuntu(tmp_path: Path, ubuntu_archive: AptArchive, dockerd: Engine) -> None:
    place = Place(tmp_path, ubuntu_archive, dockerd.url, "demo/ubuntu:24.04")
    arguments = ["build-ubuntu", *place.build_arguments("--json")[1:]]
    first = place.run(*arguments)
    assert first.code == 0, first.stderr
    again = place.run(*arguments)
    assert again.code == 0, again.stderr
    assert (again.host["changed"], again.host["image"]["state"]) == (0, "ok")
    assert place.contained("cat", "/etc/lsb-release") == RELEASE
    assert place.contained("apt-get", "--version").startswith("apt ")
    sources = Path(place.work_dir, "ubuntu/tree/rootfs/etc/apt/sources.list.d/ubuntu.sources")
    assert "Suites: noble noble-updates\nComponents: main universe\n" in sources.read_text()


_ON_A_COPY = r"""
set -eu
mount -t tmpfs copy "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay copy -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
for folder in proc sys dev tmp; do mount --rbind "/$folder" "$1/root/$folder"; done
cd "$1/root$PWD"
root=$1/root
shift
for run in 1 2; do chroot "$root" "$@"; done
"""


def test_a_build_host_is_prepared_once(tmp_path: Path, archive: AptArchive) -> None:
    """On this machine's own /, seen through an overlay that is thrown away."""
    place = Place(tmp_path, archive, "unix:///nonexistent")
    copy = tmp_path / "copy"
    copy.mkdir()
    arguments = ["build-debian-host", "--work-dir", "/var/lib/rootwright-test", "--json"]
    arguments += ["--timezone", "Europe/Paris", "--lang", "C.UTF-8"]
    script = ["unshare", "--mount", "sh", "-c", _ON_A_COPY, "sh", str(copy), *PROGRAM, *arguments]
    before = Path("/etc/localtime").readlink()
    done = subprocess.run(script, env=place.env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, end = json.JSONDecoder().raw_decode(done.stdout)
    second = json.loads(done.stdout[end:])
    names = [module["name"] for module in first["hosts"][0]["modules"]]
    assert names == ["packages", "timezone", "locale"]
    assert first["hosts"][0]["changed"] >= 1
    assert (second["hosts"][0]["changed"], second["hosts"][0]["round_trips"]) == (0, 1)
    assert first["hosts"][0]["image"] is None
    assert Path("/etc/localtime").readlink() == before
