"""An archive that Docker, Podman and skopeo read, written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rootwright.errors import ShipError
from rootwright.layer_stream import CHUNK, LayerStream
from rootwright.sinks.archive import ArchiveSink
from tests.support.disk import small_disk
from tests.support.engine import Engine
from tests.support.needs import lacks_root, needs
from tests.support.shipping import SPOILED, TAG, clear, config, digest_of, image_names, interrupt
from tests.support.streams import layer_of


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_an_archive_is_read_by_docker(classic: Engine, root: Path, tmp_path: Path) -> None:
    image = ArchiveSink(tmp_path / "a.tar").ship(layer_of(root), config, [TAG, "demo/two"])
    assert image.size == (tmp_path / "a.tar").stat().st_size
    docker = ["docker", f"--host={classic.url}", "load", "--input", f"{tmp_path}/a.tar"]
    subprocess.run(docker, check=True, capture_output=True)
    bare = image.id.removeprefix("sha256:")
    assert image_names(classic.url) == {(bare, TAG), (bare, "demo/two:latest")}


@pytest.mark.parametrize("tags", [(TAG,), (TAG, "demo/two:2")])
def test_an_archive_is_read_by_podman(
    podman: str, root: Path, tmp_path: Path, tags: tuple[str, ...]
) -> None:
    clear(podman)
    image = ArchiveSink(tmp_path / "a.tar").ship(layer_of(root), config, tags)
    command = ["podman", "--remote", f"--url={podman}", "load", "--input", f"{tmp_path}/a.tar"]
    subprocess.run(command, check=True, capture_output=True)
    found = {(one, name.removeprefix("localhost/")) for one, name in image_names(podman)}
    assert found == {(image.id.removeprefix("sha256:"), tag) for tag in tags}


@pytest.mark.skipif(not shutil.which("skopeo"), reason="no skopeo here")
def test_an_archive_is_read_by_skopeo(root: Path, tmp_path: Path) -> None:
    def inspect(reference: str) -> dict[str, Any]:
        done = subprocess.run(
            ["skopeo", "inspect", f"{reference}"], capture_output=True, text=True, check=True
        )
        facts: dict[str, Any] = json.loads(done.stdout)
        return facts

    ArchiveSink(tmp_path / "a.tar").ship(layer_of(root), config, [TAG])
    digest = digest_of(root).digest
    for reference in ("oci-archive:{}", f"oci-archive:{{}}:{TAG}", "docker-archive:{}"):
        facts = inspect(reference.format(tmp_path / "a.tar"))
        assert facts["Layers"] == [digest]
        assert facts["Created"] == "2023-11-14T22:13:20Z"


def test_an_archive_is_a_function_of_the_image(root: Path, tmp_path: Path) -> None:
    for name in ("a.tar", "new/folder/b.tar"):
        ArchiveSink(tmp_path / name).ship(layer_of(root), config, [TAG])
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "new/folder/b.tar").read_bytes()
    assert leftovers(tmp_path) == []
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert {member.mtime for member in archive} == {0}


def test_an_unchanged_archive_is_not_written(root: Path, tmp_path: Path) -> None:
    sink = ArchiveSink(tmp_path / "a.tar")
    assert sink.current([TAG]) is None
    image = sink.ship(layer_of(root), config, [TAG])
    found = digest_of(root)
    assert sink.current([TAG]) == found.digest
    assert sink.current(["demo/other"]) is None
    again = sink.unchanged(found, config(found.digest), [TAG])
    assert again is not None
    assert (again.id, again.state, again.sent_bytes) == (image.id, "ok", 0)
    assert sink.unchanged(found, config(found.digest) + b" ", [TAG]) is None
    assert sink.unchanged(found, config(found.digest), [TAG, "demo/two"]) is None
    assert sink.ship(layer_of(root), config, [TAG]).state == "ok"
    assert sink.ship(layer_of(root), config, [TAG, "demo/two"]).state == "changed"


@pytest.mark.parametrize("where", ["layer", "documents", "end"])
def test_a_damaged_archive_is_made_anew(root: Path, tmp_path: Path, where: str) -> None:
    path = tmp_path / "a.tar"
    sink = ArchiveSink(path)
    sink.ship(layer_of(root), config, [TAG])
    found = digest_of(root)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    if where == "layer":
        damaged[found.size // 2] ^= 1
    elif where == "documents":
        at = damaged.index(b'"schemaVersion"')
        damaged[at + 1] ^= 1
    else:
        del damaged[-3000:]
    path.write_bytes(damaged)
    assert sink.unchanged(found, config(found.digest), [TAG]) is None
    sink.ship(layer_of(root), config, [TAG])
    assert path.read_bytes() == whole


@pytest.mark.parametrize("how", SPOILED)
def test_a_spoiled_stream_leaves_the_archive_as_it_was(
    root: Path, tmp_path: Path, how: str
) -> None:
    sink = ArchiveSink(tmp_path / "a.tar")
    sink.ship(layer_of(root), config, [TAG])
    before = (tmp_path / "a.tar").read_bytes()
    (root / "etc/hostname").write_text("other\n")
    with pytest.raises(ShipError):
        sink.ship(layer_of(root, spoil=SPOILED[how]), config, [TAG])
    assert (tmp_path / "a.tar").read_bytes() == before
    assert leftovers(tmp_path) == []


def test_ctrl_c_leaves_no_file(root: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        ArchiveSink(tmp_path / "dist/a.tar").ship(layer_of(root, progress=interrupt), config, [TAG])
    assert list((tmp_path / "dist").iterdir()) == []


def test_kill_leaves_no_file(root: Path, tmp_path: Path) -> None:
    program = f"""
        import os, signal
        from pathlib import Path
        from rootwright.sinks.archive import ArchiveSink
        from tests.support.streams import layer_of

        def config(diff_id):
            os.kill(os.getpid(), signal.SIGKILL)

        sink = ArchiveSink(Path({str(tmp_path / "dist/a.tar")!r}))
        sink.ship(layer_of(Path({str(root)!r})), config, ["x"])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert list((tmp_path / "dist").iterdir()) == []


def test_a_file_system_where_files_must_have_names(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_TMPFILE")  # as on a system other than Linux
    ArchiveSink(tmp_path / "a.tar").ship(layer_of(root), config, [TAG])
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["a.tar"]
    with pytest.raises(KeyboardInterrupt):
        ArchiveSink(tmp_path / "dist/b.tar").ship(layer_of(root, progress=interrupt), config, [TAG])
    assert list((tmp_path / "dist").iterdir()) == []


def test_what_a_killed_play_left_is_removed_and_nothing_else(root: Path, tmp_path: Path) -> None:
    import fcntl

    abandoned, busy = (tmp_path / f".a[1].tar.{name}.part" for name in ("dead", "busy"))
    other = tmp_path / ".a1.tar.dead.part"
    for path in (abandoned, busy, other):
        path.write_bytes(b"x")
    with busy.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        ArchiveSink(tmp_path / "a[1].tar").ship(layer_of(root), config, [TAG])
    assert not abandoned.exists()
    assert busy.exists()
    assert other.exists()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    needs(lacks_root())
    folder = tmp_path / "small"
    with small_disk(folder, 8):
        yield folder


def test_a_full_disk_is_told_before_the_first_byte(root: Path, disk: Path) -> None:
    (disk / "ballast").write_bytes(bytes(4 * CHUNK))
    stream = layer_of(root)
    with pytest.raises(ShipError, match="no space left") as caught:
        ArchiveSink(disk / "a.tar").ship(stream, config, [TAG])
    assert caught.value.exit_code == 4
    assert stream.sent == 0
    assert [path.name for path in disk.iterdir()] == ["ballast"]


def test_a_disk_that_fills_up_meanwhile(root: Path, disk: Path) -> None:
    def fill(sent: int) -> None:
        with contextlib.suppress(OSError), (disk / "ballast").open("ab") as file:
            file.write(bytes(2 * CHUNK))

    stream: LayerStream = layer_of(root, progress=fill)
    with pytest.raises(ShipError, match="no space left"):
        ArchiveSink(disk / "a.tar").ship(stream, config, [TAG])
    assert [path.name for path in disk.iterdir()] == ["ballast"]


def test_a_folder_that_cannot_be_made(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ShipError, match="writing the archive failed") as caught:
        ArchiveSink(tmp_path / "file/a.tar").ship(layer_of(root), config, [TAG])
    assert str(tmp_path / "file") in caught.value.where
