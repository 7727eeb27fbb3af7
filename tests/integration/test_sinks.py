"""Shipping, against engines that are real: dockerd, Podman, skopeo."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rootwright.errors import ShipError, UsageError
from rootwright.image import Reference, image_config
from rootwright.layer import Device, LayerSpec, digest_script
from rootwright.layer_stream import CHUNK, LayerDigest, LayerStream, read_digest
from rootwright.sinks import Sink, open_sink
from rootwright.sinks.archive import ArchiveSink
from rootwright.sinks.docker import DockerSink
from rootwright.sinks.leftovers import Claim
from rootwright.sinks.oci import OciImage
from tests.support.engine import Engine
from tests.support.streams import layer_of, output

EPOCH = 1_700_000_000
TAG = "demo/shipped:1"


def config(diff_id: str) -> bytes:
    return image_config(
        architecture="amd64",
        created_epoch=EPOCH,
        diff_id=diff_id,
        cmd=["/bin/sh"],
        env={"LANG": "C.UTF-8"},
        labels={"org.opencontainers.image.title": "a test"},
        history=["first module", "second module"],
    )


def client_of(url: str) -> contextlib.closing[Any]:
    """Return a look at the engine of our own, beside the sink's."""
    import docker

    return contextlib.closing(docker.APIClient(base_url=url, version="auto"))


def image_names(url: str) -> set[tuple[str, str]]:
    """Return all images of an engine, each with its names, the unnamed included."""
    with client_of(url) as client:
        images: list[dict[str, Any]] = client.images(all=True)
    return {
        (image["Id"].removeprefix("sha256:"), name.removeprefix("docker.io/"))
        for image in images
        for name in image["RepoTags"] or ["<none>:<none>"]
    }


def clear(url: str) -> None:
    import docker

    with client_of(url) as client:
        for image in client.images(quiet=True, all=True):
            with contextlib.suppress(docker.errors.NotFound):
                client.remove_image(image, force=True)


# Another dockerd than the one that is installed, to test with a newer one.
DOCKERD = os.environ.get("ROOTWRIGHT_TEST_DOCKERD", "dockerd")


def _stores() -> list[str]:
    """Return the stores that this dockerd has: the containerd store came with Docker 24."""
    version = re.search(r"version (\d+)", subprocess.getoutput(f"{DOCKERD} --version"))
    newer = version is not None and int(version[1]) >= 24
    return ["engine", "containerd_store"] if newer else ["engine"]


STORES = _stores()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if lack := Engine.lack():
        pytest.skip(lack)
    with Engine(tmp_path_factory.mktemp("engine"), program=[DOCKERD]) as started:
        yield started


@pytest.fixture(scope="module")
def containerd_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine that names images by their manifest."""
    if lack := Engine.lack():
        pytest.skip(lack)
    folder = tmp_path_factory.mktemp("containerd")
    with Engine(folder, program=[DOCKERD], containerd_store=True) as started:
        yield started


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Podman's own service, with its own storage: the URL of its socket."""
    if os.geteuid() != 0 or not shutil.which("podman"):
        pytest.skip("Podman's service needs podman and root")
    storage = tmp_path_factory.mktemp("podman")
    with tempfile.TemporaryDirectory(prefix="rw-podman-") as short:
        url = f"unix://{short}/podman.sock"
        options = [f"--root={storage / 'root'}", f"--runroot={short}/run", "--storage-driver=vfs"]
        service = subprocess.Popen(
            ["podman", *options, "system", "service", "--time=0", url],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + 30
            while not Path(f"{short}/podman.sock").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            yield url
        finally:
            service.terminate()
            service.wait()


@pytest.fixture
def classic(engine: Engine) -> Iterator[Engine]:
    """The engine, with no images in it."""
    clear(engine.url)
    yield engine
    if engine.answers():
        clear(engine.url)


@pytest.fixture(params=[*STORES, "podman"])
def url(request: pytest.FixtureRequest) -> str:
    """An engine with no images in it, as DOCKER_HOST names it."""
    running = request.getfixturevalue(request.param)
    found: str = running.url if isinstance(running, Engine) else running
    clear(found)
    return found


def sink_at(url: str) -> DockerSink:
    return DockerSink(Path(url.removeprefix("unix://")))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root of some megabytes, so that it takes several pieces."""
    made = tmp_path / "root"
    (made / "etc").mkdir(parents=True)
    (made / "etc/hostname").write_text("demo\n")
    for number in range(6):
        (made / f"file{number}").write_bytes(os.urandom(CHUNK))
    return made


def digest_of(root: Path) -> LayerDigest:
    return read_digest(output(digest_script(LayerSpec(str(root), EPOCH))))


# --- an engine takes an image ---


def test_an_image_is_shipped_named_and_the_same_everywhere(
    url: str, root: Path, request: pytest.FixtureRequest
) -> None:
    progress: list[int] = []
    sink = sink_at(url)
    assert sink.current([TAG]) is None
    stream = layer_of(root, progress=progress.append)
    image = sink.ship(stream, config, [TAG, "demo/shipped", "example.org:5000/x:2"])
    expected = digest_of(root)
    made = OciImage(config(expected.digest), expected)
    by_manifest = "containerd_store" in request.node.name
    assert image.id == (made.manifest_digest if by_manifest else made.id)
    assert (image.digest, image.sent_bytes) == (expected.digest, expected.size)
    assert image.state == "changed"
    assert image.tags == (TAG, "demo/shipped:latest", "example.org:5000/x:2")
    assert image.size >= 6 * CHUNK
    assert progress[-1] == expected.size
    bare = image.id.removeprefix("sha256:")
    assert image_names(url) == {(bare, name) for name in image.tags}
    with client_of(url) as client:
        facts = client.inspect_image(TAG)
        history = client.history(TAG)
    assert facts["Config"]["Cmd"] == ["/bin/sh"]
    assert facts["Config"]["Env"] == ["LANG=C.UTF-8"]
    assert facts["Config"]["Labels"] == {"org.opencontainers.image.title": "a test"}
    assert [entry["CreatedBy"] for entry in history] == ["second module", "first module"]
    sink.close()


def test_the_same_again_sends_nothing(url: str, root: Path) -> None:
    sink = sink_at(url)
    image = sink.ship(layer_of(root), config, [TAG])
    found = digest_of(root)
    assert sink.current([TAG]) == found.digest
    again = sink.unchanged(found, config(found.digest), [TAG])
    assert again is not None
    assert (again.id, again.state, again.sent_bytes) == (image.id, "ok", 0)
    assert again.size == image.size
    # Another configuration, another name or another layer is another image.
    assert sink.unchanged(found, config(found.digest) + b" ", [TAG]) is None
    assert sink.unchanged(found, config(found.digest), [TAG, "demo/other"]) is None
    assert sink.current([TAG, "demo/other"]) is None
    other = LayerDigest(found.size, "sha256:" + "0" * 64)
    assert sink.unchanged(other, config(other.digest), [TAG]) is None
    # And sending it all the same leaves one image, and says that nothing changed.
    assert sink.ship(layer_of(root), config, [TAG]).state == "ok"
    assert image_names(url) == {(image.id.removeprefix("sha256:"), TAG)}
    sink.close()


def test_a_new_image_takes_over_the_name(url: str, root: Path) -> None:
    sink = sink_at(url)
    first = sink.ship(layer_of(root), config, [TAG])
    (root / "etc/hostname").write_text("other\n")
    second = sink.ship(layer_of(root), config, [TAG])
    assert second.id != first.id
    assert second.state == "changed"
    assert (second.id.removeprefix("sha256:"), TAG) in image_names(url)
    sink.close()


def test_what_a_root_holds_arrives_in_the_image(classic: Engine, tmp_path: Path) -> None:
    """Owners, modes, capabilities, ACLs, hard links, long names and devices, as unpacked."""
    root = tmp_path / "root"
    (root / "dev").mkdir(parents=True)
    (root / "dev").chmod(0o711)
    tool = root / "tool"
    tool.write_text("#!/bin/sh\n")
    os.chown(tool, 12, 34)
    tool.chmod(0o4755)
    capability = bytes.fromhex("0100000200200000" + "00" * 12)
    acl = bytes.fromhex(
        "02000000" "01000700ffffffff" "02000400e8030000" "04000500ffffffff" "10000500ffffffff"
        "20000500ffffffff"
    )  # fmt: skip
    try:
        os.setxattr(tool, "security.capability", capability)
        os.setxattr(tool, "system.posix_acl_access", acl)
    except OSError as error:
        pytest.skip(f"this file system keeps no capabilities or ACLs: {error}")
    # Not of the tool: Docker changes the owner of each link anew, which drops capabilities.
    (root / ("n" * 200)).write_text("long")
    os.link(root / ("n" * 200), root / "twin")
    devices = (
        Device("/dev/null", "c", 1, 3, 0o666),
        Device("/dev/initctl", "p", 0, 0, 0o600, 0, 5),
    )
    spec = LayerSpec(str(root), EPOCH, (), devices)
    sink = DockerSink(classic.socket)
    image = sink.ship(layer_of(root, spec=spec), config, [TAG])
    sink.close()
    with client_of(classic.url) as client:
        data = client.inspect_image(image.id)["GraphDriver"]["Data"]
    if "UpperDir" not in (data or {}):
        pytest.skip("where the vfs driver unpacks is not told")
    unpacked = Path(data["UpperDir"])
    status = (unpacked / "tool").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (12, 34, 0o4755)
    assert status.st_mtime == EPOCH
    assert os.getxattr(unpacked / "tool", "security.capability") == capability
    assert os.getxattr(unpacked / "tool", "system.posix_acl_access") == acl
    assert (unpacked / ("n" * 200)).read_text() == "long"
    assert (unpacked / ("n" * 200)).samefile(unpacked / "twin")
    assert (unpacked / "dev/null").stat().st_rdev == os.makedev(1, 3)
    assert (unpacked / "dev/initctl").is_fifo()
    assert (unpacked / "dev/initctl").stat().st_gid == 5
    assert (unpacked / "dev").stat().st_mode & 0o7777 == 0o711
    assert (unpacked / "dev").stat().st_mtime == EPOCH


def test_a_container_runs_from_it(classic: Engine, tmp_path: Path) -> None:
    root = tmp_path / "root"
    libraries = re.findall(r"(/\S+) \(0x", subprocess.getoutput("ldd /bin/sh"))
    for path in ("/bin/sh", *libraries):
        (root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, root / path[1:])
    sink = DockerSink(classic.socket)
    sink.ship(layer_of(root), config, [TAG])
    sink.close()
    command = ["docker", f"--host={classic.url}", "run", "--rm", "--network=none", TAG]
    done = subprocess.run(
        [*command, "sh", "-c", "echo $LANG"], capture_output=True, text=True, check=False
    )
    assert done.stdout == "C.UTF-8\n", done.stderr


# --- something goes wrong ---

SPOILED: dict[str, Callable[[str], str]] = {
    "cut in the middle": lambda script: script.replace(
        "| { tee", "| { head -c 3500000; cat >/dev/null; } | { tee"
    ),
    "cut at a member's end": lambda script: script.replace(
        "--file=-", "--exclude=./file3 --file=-"
    ),
    "the connection is cut": lambda script: script.replace(
        "| { tee", "| { head -c 3500000; kill $$; } | { tee"
    ),
    "another byte": lambda script: script.replace(
        "tee /dev/fd/6", "tee /dev/fd/6 | tr '\\1' '\\2'"
    ),
    "tar failed": lambda script: script.replace('tar $?"', 'tar 2"'),
}  # fmt: skip


@pytest.mark.parametrize("how", SPOILED)
def test_a_spoiled_stream_leaves_the_engine_as_it_was(url: str, root: Path, how: str) -> None:
    sink = sink_at(url)
    sink.ship(layer_of(root), config, [TAG])
    before = image_names(url)
    (root / "etc/hostname").write_text("other\n")
    with pytest.raises(ShipError) as caught:
        sink.ship(layer_of(root, spoil=SPOILED[how]), config, [TAG, "demo/second"])
    assert caught.value.exit_code == 4
    assert caught.value.hint
    assert image_names(url) == before
    assert sink.ship(layer_of(root), config, [TAG]).state == "changed"
    sink.close()


def interrupt(sent: int) -> None:
    raise KeyboardInterrupt


def interrupted_config(diff_id: str) -> bytes:
    raise KeyboardInterrupt


@pytest.mark.parametrize("when", ["while sending", "after the last byte", "while naming"])
def test_ctrl_c_leaves_the_engine_as_it_was(
    url: str, root: Path, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def naming(image_id: str, name: Reference) -> None:
        if name.name == "demo/second":
            raise KeyboardInterrupt
        really(image_id, name)

    sink = sink_at(url)
    sink.ship(layer_of(root), config, [TAG])
    before = image_names(url)
    (root / "etc/hostname").write_text("other\n")
    really = sink._name
    if when == "while naming":
        monkeypatch.setattr(sink, "_name", naming)
    progress = interrupt if when == "while sending" else None
    make = interrupted_config if when == "after the last byte" else config
    with pytest.raises(KeyboardInterrupt):
        sink.ship(layer_of(root, progress=progress), make, [TAG, "demo/second"])
    assert image_names(url) == before
    sink.close()


@pytest.mark.parametrize("kind", STORES)
def test_the_engine_dies_in_the_middle(
    kind: str, root: Path, request: pytest.FixtureRequest
) -> None:
    running: Engine = request.getfixturevalue(kind)
    clear(running.url)
    sink = DockerSink(running.socket)
    first = sink.ship(layer_of(root), config, [TAG])
    before = image_names(running.url)
    (root / "etc/hostname").write_text("other\n")

    def kill(sent: int) -> None:
        if sent > 3 * CHUNK and running.answers():
            running.kill()

    with pytest.raises(ShipError, match="stopped answering") as caught:
        sink.ship(layer_of(root, progress=kill), config, [TAG])
    assert caught.value.exit_code == 4
    assert "start the engine" in caught.value.hint
    sink.close()
    running.restart()
    assert image_names(running.url) == before
    sink = DockerSink(running.socket)
    second = sink.ship(layer_of(root), config, [TAG])
    assert second.id != first.id
    assert (second.id.removeprefix("sha256:"), TAG) in image_names(running.url)
    sink.close()


def test_whose_a_leftover_is() -> None:
    with Claim() as claim:
        assert not Claim.is_stale(claim.text)
    assert Claim.is_stale(claim.text)
    here, _, nonce = claim.text.split("/")
    child = subprocess.Popen(["true"])
    child.wait()
    assert Claim.is_stale(f"{here}/{child.pid}/{nonce}")
    for other in (f"{here}/{os.getppid()}/{nonce}", f"elsewhere/{child.pid}/{nonce}", "", "a/b/c"):
        assert not Claim.is_stale(other)


def test_the_engines_disk_is_full(tmp_path: Path, root: Path) -> None:
    if lack := Engine.lack():
        pytest.skip(lack)
    folder = tmp_path / "engine"
    mount = f"mkdir -p {folder}/data && mount -t tmpfs -o size=4m none {folder}/data"
    program = ("sh", "-c", f'{mount} && exec dockerd "$@"', "dockerd")
    with Engine(folder, program=program) as small:
        sink = DockerSink(small.socket)
        with pytest.raises(ShipError, match="full") as caught:
            sink.ship(layer_of(root), config, [TAG])
        sink.close()
        assert caught.value.exit_code == 4
        assert image_names(small.url) == set()


def test_the_controllers_memory_does_not_grow_with_the_root(
    classic: Engine, tmp_path: Path
) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(300 << 20)
    program = f"""
        import re
        from pathlib import Path
        from rootwright.sinks.docker import DockerSink
        from tests.integration.test_sinks import config
        from tests.support.streams import layer_of

        stream = layer_of(Path({str(tmp_path)!r}))
        DockerSink(Path({str(classic.socket)!r})).ship(stream, config, ["x"])
        # Not getrusage: its peak is that of the process that started this one, if that was larger.
        peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
        print(stream.sent >> 20, int(peak[1]) >> 10)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    sent, megabytes = map(int, done.stdout.split())
    assert sent >= 300
    assert megabytes < 120


# --- which sink ---


@pytest.fixture
def no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment in which no engine answers; the path of a socket that is not there."""
    socket = tmp_path / "none.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{socket}")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    for name in ("DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    return socket


def test_no_engine_means_an_archive_and_a_sentence(no_engine: Path, tmp_path: Path) -> None:
    sink = open_sink(None, tmp_path / "dist/demo.tar")
    assert isinstance(sink, ArchiveSink)
    assert str(no_engine) in sink.note
    assert f"docker load -i {tmp_path}/dist/demo.tar" in sink.note


@pytest.mark.parametrize("to", ["docker", "docker://{}"])
def test_an_engine_that_was_asked_for_must_answer(no_engine: Path, tmp_path: Path, to: str) -> None:
    with pytest.raises(ShipError, match="no Docker engine answers") as caught:
        open_sink(to.format(no_engine), tmp_path / "demo.tar")
    assert caught.value.exit_code == 4
    assert "--to FILE.tar" in caught.value.hint


def test_the_environment_and_the_context_name_the_engine(
    classic: Engine, no_engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", classic.url)
    named: Sink = open_sink("docker", tmp_path / "demo.tar")
    assert classic.url in named.name
    named.close()
    monkeypatch.delenv("DOCKER_HOST")
    from docker.context import ContextAPI

    (tmp_path / "docker").mkdir()
    (tmp_path / "docker/config.json").write_text("{}")
    ContextAPI.create_context("ours", host=classic.url)
    monkeypatch.setenv("DOCKER_CONTEXT", "ours")
    named = open_sink(None, tmp_path / "demo.tar")
    assert (classic.url in named.name, named.note) == (True, "")
    named.close()
    monkeypatch.setenv("DOCKER_CONTEXT", "missing")
    with pytest.raises(UsageError, match="does not exist"):
        open_sink("docker", tmp_path / "demo.tar")


@pytest.mark.parametrize("to", ["", "podman", "docker://", "docker://relative", "file.tar.gz"])
def test_what_is_no_sink(to: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        open_sink(to, tmp_path / "demo.tar")
    assert caught.value.hint


# --- the archive ---


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
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_told_before_the_first_byte(root: Path, small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(4 * CHUNK))
    stream = layer_of(root)
    with pytest.raises(ShipError, match="no space left") as caught:
        ArchiveSink(small_disk / "a.tar").ship(stream, config, [TAG])
    assert caught.value.exit_code == 4
    assert stream.sent == 0
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]


def test_a_disk_that_fills_up_meanwhile(root: Path, small_disk: Path) -> None:
    def fill(sent: int) -> None:
        with contextlib.suppress(OSError), (small_disk / "ballast").open("ab") as file:
            file.write(bytes(2 * CHUNK))

    stream: LayerStream = layer_of(root, progress=fill)
    with pytest.raises(ShipError, match="no space left"):
        ArchiveSink(small_disk / "a.tar").ship(stream, config, [TAG])
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]


def test_a_folder_that_cannot_be_made(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ShipError, match="writing the archive failed") as caught:
        ArchiveSink(tmp_path / "file/a.tar").ship(layer_of(root), config, [TAG])
    assert str(tmp_path / "file") in caught.value.where
