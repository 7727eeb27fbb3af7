"""build-debian when mirror, disk or engine fail: what it says, and that it leaves nothing."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.apt_archive import AptArchive
from tests.support.delay_proxy import DelayProxy
from tests.support.disk import small_disk
from tests.support.engine import Engine
from tests.support.http_server import FaultyServer
from tests.support.program import Place, Running, refused
from tests.support.sshd import Sshd

SLOW = 5_000_000
"""Bytes a second on a way that is to break: the image is not there before it does."""

NOWHERE = "http://127.0.0.1:9/debian"  # the port of discard, where nobody listens


# --- the mirror, and the disk


@dataclass(frozen=True)
class Broken:
    """A place where builds fail one after the other, and one that has been waiting all along.

    resize: changes the size, in MB, of the disk of the place's work dir.
    """

    place: Place
    resize: Callable[[int], None]
    stalled: tuple[Place, Running]


@pytest.fixture(scope="module")
def broken(
    tmp_path_factory: pytest.TempPathFactory, archive: AptArchive, dockerd: Engine
) -> Iterator[Broken]:
    place = Place(tmp_path_factory.mktemp("broken"), archive, dockerd.url, "demo/broken:1")
    # It takes a minute until a mirror that says nothing is given up: meanwhile the other tests run.
    server = FaultyServer(archive.server.files)
    server.fail("*", "stall")
    waiting = Place(tmp_path_factory.mktemp("stalled"), archive, dockerd.url, "demo/stalled:1")
    running = waiting.start("--mirror", f"{server.url}/debian", "--security-mirror", "none")
    with small_disk(Path(place.work_dir), 700) as resize:
        yield Broken(place, resize, (waiting, running))
    running.process.kill()
    server.stop()


@dataclass(frozen=True)
class MirrorFault:
    """How the mirror is broken: files and in which way, or options; and what is said of it."""

    said: str
    files: str = ""
    kind: Any = "corrupt"
    options: tuple[str, ...] = ()


MIRROR_FAULTS = {
    "no such suite": MirrorFault("has no suite nonesuch", options=("--suite", "nonesuch")),
    "nobody listens": MirrorFault("does not answer", options=("--mirror", NOWHERE)),
    "Release tampered": MirrorFault("signature .* is not good", "*/bookworm/InRelease"),
    "package tampered": MirrorFault("mmdebstrap failed", "*/dash_*"),
    "package missing": MirrorFault("mmdebstrap failed", "*/dash_*", "missing"),
    "no such package": MirrorFault("no package nonesuch", options=("--packages", "nonesuch")),
}


@pytest.mark.parametrize("name", MIRROR_FAULTS)
def test_a_mirror_that_is_broken(broken: Broken, name: str) -> None:
    place, fault = broken.place, MIRROR_FAULTS[name]
    images = place.images()
    if fault.files:
        place.archive.server.fail(fault.files, fault.kind)
    try:
        ended = place.build(*fault.options)
    finally:
        place.archive.server.mend()
    refused(ended, 1, fault.said, "localhost, module debootstrap")
    assert place.left() == []
    assert place.listing() == ["lock"]
    assert place.images() == images


def test_a_keyring_that_does_not_know_the_key(broken: Broken, tmp_path: Path) -> None:
    with AptArchive(tmp_path, packages=[]) as other:
        ended = broken.place.build("--keyring", str(other.keyring))
    refused(ended, 1, "signed by a key that is not in the keyring")
    assert broken.place.listing() == ["lock"]
    assert broken.place.left() == []


def test_a_full_disk_on_the_host(broken: Broken) -> None:
    place, resize = broken.place, broken.resize
    images = place.images()
    resize(100)
    refused(place.build(), 1, "only [0-9]+ MiB are free", "--work-dir")
    resize(700)
    running = place.start()
    running.until("module_started", name="debootstrap")
    resize(50)  # not much is there yet: it will be full before the root is whole
    refused(running.end(), 1, "No space left on device", "--work-dir")
    resize(700)
    assert place.left() == []
    assert place.listing() == ["lock"]
    assert place.images() == images


def test_the_next_run_completes(broken: Broken) -> None:
    ended = broken.place.build("--json")
    assert ended.code == 0, ended.stderr
    assert ended.host["image"]["state"] == "changed"


# --- other disks


def test_a_full_disk_of_the_engine(built: Place, dockerd: Engine, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 30) as resize, Engine(tmp_path / "disk/engine") as engine:
        place = replace(built, docker=engine.url, env={})
        refused(place.build(), 4, "disk of the engine is full|no space left", "docker system df")
        assert place.images() == set()
        resize(400)
        assert place.build().code == 0
    assert built.left() == []


def test_a_dist_that_cannot_be_written(built: Place, tmp_path: Path) -> None:
    nobody = "unix:///nonexistent/docker.sock"
    place = Place(tmp_path, built.archive, nobody, built.tag, built.work_dir)
    (tmp_path / "dist").write_text("mine\n")
    refused(place.build(), 4, "dist")
    assert (tmp_path / "dist").read_text() == "mine\n"
    (tmp_path / "dist").unlink()
    with small_disk(tmp_path / "dist", 10):
        refused(place.build(), 4, "no space left for the archive", "--to")
        assert list((tmp_path / "dist").iterdir()) == []
    assert place.left() == []


# --- the way to the engine


def fake_tar(folder: Path) -> str:
    """Make a tar that ends its stream early, at a member's end, and says that all is well."""
    script = f"""\
    #!{sys.executable}
    import io, subprocess, sys, tarfile
    argv = ["/bin/tar", *sys.argv[1:]]
    if "--file=-" not in argv or "--totals" in argv:
        sys.exit(subprocess.run(argv).returncode)
    data = subprocess.run(argv, stdout=subprocess.PIPE).stdout
    members = tarfile.open(fileobj=io.BytesIO(data)).getmembers()
    sys.stdout.buffer.write(data[: members[len(members) // 2].offset])
    """
    folder.mkdir()
    (folder / "tar").write_text(textwrap.dedent(script))
    (folder / "tar").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_a_tar_that_ends_early_at_a_member(moving: Place, tmp_path: Path) -> None:
    ended = moving.build(PATH=fake_tar(tmp_path / "bin"))
    refused(ended, 4, "bytes")


def test_an_engine_that_dies_while_it_takes_the_image(moving: Place, dockerd: Engine) -> None:
    with DelayProxy(dockerd.socket, rate=SLOW) as proxy:
        running = moving.start(DOCKER_HOST=proxy.url)
        running.until("shipping")
        dockerd.kill()
        try:
            ended = running.end()
        finally:
            dockerd.start()
    refused(ended, 4, "engine (stopped answering|broke off)", "start the engine again|its log")


def test_a_connection_cut_in_the_middle_of_the_tar(moving: Place, sshd: Sshd) -> None:
    with DelayProxy(sshd.port, rate=SLOW) as proxy:
        running = moving.start(*moving.over_ssh(sshd, proxy.port))
        running.until("shipping")
        proxy.cut_after(5_000_000, "down")
        refused(running.end(), 4, "bytes|cut|lost|ended")
    moving.await_nothing_left()


def test_an_engine_that_was_asked_for_must_be_there_before_anything_is_made(place: Place) -> None:
    ended = place.build("--to", "docker:///nonexistent/docker.sock")
    refused(ended, 4, "no Docker engine answers", "--to FILE.tar")
    assert place.listing() == ["lock"]


# --- what took its time meanwhile


def test_a_mirror_that_says_nothing(broken: Broken) -> None:
    place, running = broken.stalled
    refused(running.end(), 1, "does not answer")
    assert place.left() == []
    assert place.listing() == ["lock"]
    assert not any(name == place.tag for _, name in place.images())
