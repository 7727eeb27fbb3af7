"""An engine takes an image, or stays as it was."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from rootwright.errors import ShipError
from rootwright.image import Reference
from rootwright.layer import Device, LayerSpec
from rootwright.layer_stream import CHUNK, LayerDigest
from rootwright.sinks.docker import DockerSink
from rootwright.sinks.leftovers import Claim
from rootwright.sinks.oci import OciImage
from tests.support.delay_proxy import DelayProxy
from tests.support.docker_api import client_of
from tests.support.engine import Engine
from tests.support.shipping import (
    EPOCH,
    SPOILED,
    STORES,
    TAG,
    clear,
    config,
    digest_of,
    image_names,
    interrupt,
    interrupted_config,
    sink_at,
)
from tests.support.streams import layer_of


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


def test_a_connection_that_is_cut_at_the_end_leaves_nothing_unnamed(
    classic: Engine, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DelayProxy(classic.socket) as proxy:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://{proxy.host}:{proxy.port}")
        sink = DockerSink()
        before = proxy.counts().down
        image = sink.ship(layer_of(root), config, [TAG])
        said = proxy.counts().down - before
        whole = {(image.id.removeprefix("sha256:"), TAG)}
        assert image_names(classic.url) == whole
        failed = 0
        for back in range(0, 4000, 200):
            clear(classic.url)
            proxy.cut_after(said - back, "down")
            try:
                sink.ship(layer_of(root), config, [TAG])
            except ShipError:
                failed += 1
                assert image_names(classic.url) == set(), back
            else:
                assert image_names(classic.url) == whole, back
        assert failed
        sink.close()


def test_what_an_earlier_play_left_is_swept_even_when_nothing_is_shipped(
    classic: Engine, root: Path
) -> None:
    sink = sink_at(classic.url)
    image = sink.ship(layer_of(root), config, [TAG])
    with Claim() as claim, client_of(classic.url) as client:
        label = f"LABEL org.rootwright.unfinished={claim.text}"
        client.import_image_from_data(bytes(10240), changes=[label])
    found = digest_of(root)
    assert sink.unchanged(found, config(found.digest), [TAG])
    assert image_names(classic.url) == {(image.id.removeprefix("sha256:"), TAG)}
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
        from tests.support.shipping import config
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
