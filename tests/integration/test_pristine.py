"""The copy of a new root that is kept: used when it is what would be made, and only then."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rootwright.modules.debootstrap import Debootstrap
from rootwright.resource import Bootstrap
from tests.support.apt_archive import AptArchive
from tests.support.disk import small_disk
from tests.support.needs import lacks_root, needs
from tests.support.program import Ended, Place
from tests.support.root import Root, tar_digest


@pytest.fixture
def own_archive(tmp_path: Path, archive: AptArchive) -> Iterator[AptArchive]:
    """An archive to be changed; the one it asks for says whether there can be any."""
    del archive
    with AptArchive(tmp_path / "archive") as made:
        yield made


class Again:
    """A root that is made anew, and anew, from an archive."""

    def __init__(self, folder: Path, archive: AptArchive) -> None:
        self.archive = archive
        self.root = Root.make(folder)
        self.module = Debootstrap(
            suite=archive.suite,
            mirror=archive.mirror,
            security_mirror=archive.security_mirror,
            architecture=archive.architecture,
            keyring=archive.keyring.read_bytes(),
            tool="mmdebstrap",
        )

    @property
    def kept(self) -> Path:
        """The folder of the copy."""
        return self.root.folder / "pristine"

    def make(self) -> tuple[str, bool]:
        """Make the root; return its digest, and whether packages were fetched for it."""
        shutil.rmtree(self.root.state)
        self.root.path.mkdir(parents=True)
        self.archive.server.requests.clear()
        self.root.converge(self.module)
        epoch = (self.root.state / "epoch").read_text().strip()
        fetched = any(path.endswith(".deb") for path in self.archive.server.requests)
        return tar_digest(self.root.path, epoch), fetched


@pytest.fixture
def again(tmp_path: Path, own_archive: AptArchive) -> Again:
    return Again(tmp_path / "root", own_archive)


def test_a_copy_is_the_root_to_the_byte(again: Again) -> None:
    first, fetched = again.make()
    assert fetched
    (again.root.path / "etc/edited").write_text("by hand\n")
    assert again.make() == (first, False)
    assert any(path.endswith("/InRelease") for path in again.archive.server.requests)
    assert again.make() == (first, False)


def test_an_archive_with_something_new_makes_a_new_root(again: Again) -> None:
    first, _ = again.make()
    again.archive.publish(
        again.archive.package("hostname").upgraded("+sec1"), suite=again.archive.security
    )
    newer, fetched = again.make()
    assert fetched
    assert newer != first
    assert "+sec1\n" in (again.root.path / "var/lib/dpkg/status").read_text()
    assert again.make() == (newer, False)


@pytest.mark.parametrize(
    "change",
    [
        {"packages": ("hostname",)},
        {"security_mirror": ""},
        {"updates": False},
        {"tool": "debootstrap"},
    ],
    ids=str,
)
def test_other_parameters_make_a_new_root(again: Again, change: dict[str, str]) -> None:
    again.make()
    again.module = replace(again.module, **change)  # type: ignore[arg-type]  # each has its own
    assert again.make()[1]


def test_another_date_makes_the_same_root(again: Again) -> None:
    first, _ = again.make()
    again.root = replace(again.root, epoch="1600000000")
    assert again.make() == (first, False)


def test_a_copy_that_is_damaged_is_not_used(again: Again) -> None:
    first, _ = again.make()
    tar = again.kept / "tar"
    data = bytearray(tar.read_bytes())
    data[len(data) // 2] ^= 1
    tar.write_bytes(data)
    assert again.make() == (first, True)
    assert again.make() == (first, False)


@pytest.mark.parametrize(("megabytes", "kept"), [(20, True), (5, False)])
def test_a_disk_without_room_for_a_copy_does_without(
    tmp_path: Path, megabytes: int, kept: bool
) -> None:
    needs(lacks_root())
    fill = 'head -c 3000000 /dev/zero >"$rw_root/file"\necho 0 >"$rw_state/epoch"\n'
    made = Bootstrap("filled", f"{fill}rw_remember key", stamp="filled")
    with small_disk(tmp_path / "disk", megabytes):
        root = Root.make(tmp_path / "disk/root")
        root.converge([made])
        assert (root.path / "file").stat().st_size == 3_000_000
        names = ["pristine", "tree"] if kept else ["tree"]
        assert sorted(p.name for p in root.folder.iterdir() if p.is_dir()) == names


def test_the_program_says_which_it_was(first_build: tuple[Place, Ended]) -> None:
    place, first = first_build
    # Other tests build here too, and with another tool: the copy kept then is none of this one's.
    assert place.build("--fresh").code == 0
    place.archive.server.requests.clear()
    ended = place.build("--fresh", "--json", "--verbose")
    assert ended.code == 0, ended.stderr
    assert "the archive is what it was" in ended.stderr
    assert not any(path.endswith(".deb") for path in place.archive.server.requests)
    assert "debootstrap" in ended.modules("changed")
    assert ended.host["image"] == first.host["image"] | {"state": "ok", "sent_bytes": 0}
