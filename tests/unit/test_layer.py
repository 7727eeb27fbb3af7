"""The layer: scripts that any sh runs alike, and a reader that takes nothing on trust."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import socket
import subprocess
import tarfile
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootwright.errors import ShipError, UsageError
from rootwright.layer import Device, LayerSpec, digest_script, size_script, stream_script
from rootwright.layer_stream import CHUNK, LayerStream, read_digest, read_size
from tests.support.streams import ProcessSource, layer_of, output

EPOCH = 1_700_000_000
SHELLS = [
    pytest.param(
        shell, marks=pytest.mark.skipif(not shutil.which(shell[0]), reason=f"no {shell[0]} here")
    )
    for shell in (("dash",), ("bash",), ("busybox", "sh"))
]
NULL = Device("/dev/null", "c", 1, 3, 0o666)
INITCTL = Device("/dev/initctl", "p", 0, 0, 0o600, 1, 5)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small root with names that a careless quoting would trip over."""
    made = tmp_path / "ro ot'$(x)"
    files = (
        *("proc/1/status", "usr/proc/kept", "etc/machine-id", "etc/machine-id.d/kept"),
        *("var/log/a.log", "var/log/apt/kept.log", "root/.profile", "-leading/-dash"),
        *("wei[r]d/st*r", "wei[r]d/new\nline", "weird/kept", f"long/{'n' * 200}", "dev/console"),
    )
    for name in files:
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    os.link(made / "weird/kept", made / "weird/linked")
    with socket.socket(socket.AF_UNIX) as server:
        # Its path would be too long for a socket's address.
        descriptor = os.open(made, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{descriptor}/socket")
        os.close(descriptor)
    return made


def spec(root: Path, *exclude: str, devices: tuple[Device, ...] = ()) -> LayerSpec:
    return LayerSpec(str(root), EPOCH, exclude, devices)


def members(stream: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(stream)) as archive:
        return {member.name: member for member in archive}


def stream_of(spec: LayerSpec) -> bytes:
    return b"".join(layer_of(Path(spec.root), spec=spec))


@pytest.mark.parametrize("shell", SHELLS)
def test_size_digest_and_stream_agree_under_every_shell(root: Path, shell: tuple[str, ...]) -> None:
    one = spec(root, "/proc/*", "/wei[[]r]d/*", devices=(NULL, INITCTL))
    size = read_size(output(size_script(one), shell))
    digest = read_digest(output(digest_script(one), shell))
    stream = LayerStream(ProcessSource(stream_script(one), shell), size)
    data = b"".join(stream)
    assert len(data) == size == digest.size == stream.sent
    assert f"sha256:{hashlib.sha256(data).hexdigest()}" == digest.digest == stream.digest
    assert data == stream_of(one)


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="no shellcheck here")
def test_the_scripts_pass_shellcheck(root: Path) -> None:
    one = spec(root, "/proc/*", devices=(NULL,))
    for script in (size_script(one), digest_script(one), stream_script(one)):
        # SC2059: the printf format is ours, and its variable shortens runs of NUL.
        # SC2016: the root of this test has a "$" in its name.
        command = ["shellcheck", "--shell=sh", "--exclude=SC2059,SC2016", "-"]
        done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_excludes_mean_exactly_what_they_say(root: Path) -> None:
    patterns = ("/proc/*", "/etc/machine-id", "/var/log/*.log", "/root/*", "/wei[[]r]d/*r")
    names = set(members(stream_of(spec(root, *patterns))))
    left_out = ("proc/1", "etc/machine-id", "var/log/a.log", "root/.profile", "wei[r]d/st*r")
    assert not names & {f"./{name}" for name in (*left_out, "proc/1/status", "socket")}
    kept = ("proc", "usr/proc/kept", "etc/machine-id.d/kept", "var/log/apt/kept.log", "root")
    assert {f"./{name}" for name in (*kept, "wei[r]d/new\nline", "weird/kept")} <= names


def test_a_pattern_that_names_itself_literally(root: Path) -> None:
    names = members(stream_of(spec(root, r"/wei\[r\]d/st\*r", "/-leading")))
    assert "./wei[r]d/st*r" not in names
    assert "./-leading" not in names
    assert "./weird/kept" in names


@pytest.mark.parametrize("openssl", ["exit 1", "echo garbage", None])
def test_a_host_without_a_good_openssl(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, openssl: str | None
) -> None:
    expected = stream_of(spec(root))
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("tar", "tee", "sha256sum", "sh"):
        (folder / tool).symlink_to(shutil.which(tool) or tool)
    if openssl:
        (folder / "openssl").write_text(f"#!/bin/sh\n{openssl}\n")
        (folder / "openssl").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    assert stream_of(spec(root)) == expected


def test_names_links_and_long_names_are_kept(root: Path) -> None:
    found = members(stream_of(spec(root)))
    assert {"./wei[r]d/new\nline", "./-leading/-dash", f"./long/{'n' * 200}"} <= set(found)
    assert found["./weird/linked"].linkname == "./weird/kept"
    assert list(found)[1:] == sorted(list(found)[1:], key=lambda name: name.split("/"))


def test_times_and_the_host_leave_no_trace(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = stream_of(spec(root))
    for path in (root, *root.rglob("*")):
        os.utime(path, (EPOCH + 99, EPOCH + 5000.25), follow_symlinks=False)
    monkeypatch.setenv("TAR_OPTIONS", "--owner=nobody --totals")
    monkeypatch.setenv("POSIXLY_CORRECT", "1")
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    assert stream_of(spec(root)) == before
    assert {member.mtime for member in members(before).values()} == {EPOCH}


def test_devices_stand_in_front_whether_or_not_the_root_has_them(root: Path) -> None:
    devices = (NULL, INITCTL, Device("/dev/console", "c", 5, 1, 0o620, 0, 5))
    data = stream_of(spec(root, devices=devices))
    found = members(data)
    assert list(found)[:4] == ["./dev/console", "./dev/initctl", "./dev/null", "."]
    null, initctl = found["./dev/null"], found["./dev/initctl"]
    assert (null.type, null.devmajor, null.devminor, null.mode) == (tarfile.CHRTYPE, 1, 3, 0o666)
    assert (initctl.type, initctl.uid, initctl.gid) == (tarfile.FIFOTYPE, 1, 5)
    assert {null.mtime, initctl.mtime} == {EPOCH}
    assert found["./dev"].mode == 0o755
    (root / "dev/console").unlink()
    os.utime(root / "dev", (EPOCH + 99, EPOCH + 99))
    assert stream_of(spec(root, devices=devices)) == data
    os.mkfifo(root / "dev/initctl")
    assert stream_of(spec(root, devices=devices)) == data


def test_a_device_with_a_glob_in_its_name_leaves_out_only_itself(root: Path) -> None:
    device = Device("/wei[r]d/st*r", "c", 1, 3, 0o666)
    found = members(stream_of(spec(root, devices=(device,))))
    assert found["./wei[r]d/st*r"].type == tarfile.CHRTYPE
    assert "./wei[r]d/new\nline" in found


@as_root
def test_gnu_tar_unpacks_devices_and_the_modes_of_their_folder(root: Path, tmp_path: Path) -> None:
    (root / "dev").chmod(0o750)
    target = tmp_path / "unpacked"
    target.mkdir()
    data = stream_of(spec(root, devices=(NULL,)))
    subprocess.run(["tar", "-xpf", "-", "-C", target], input=data, check=True)
    assert (target / "dev/null").is_char_device()
    assert (target / "dev/null").stat().st_rdev == os.makedev(1, 3)
    assert (target / "dev").stat().st_mode & 0o7777 == 0o750
    assert (target / "dev").stat().st_mtime == EPOCH


@as_root
@pytest.mark.skipif(not shutil.which("setfacl"), reason="no setfacl here")
def test_capabilities_and_acls_are_kept_without_the_hosts_names(root: Path) -> None:
    kept = root / "weird/kept"
    kept.chmod(0o4755)
    try:
        subprocess.run(["setfacl", "-m", "u:0:r", kept], check=True, capture_output=True)
        os.setxattr(kept, "security.capability", bytes.fromhex("0100000200200000" + "00" * 12))
    except (subprocess.CalledProcessError, OSError) as error:
        pytest.skip(f"this file system keeps no ACLs or capabilities: {error}")
    data = stream_of(spec(root))
    headers = members(data)["./weird/kept"].pax_headers
    assert {"SCHILY.xattr.security.capability", "SCHILY.xattr.system.posix_acl_access"} <= set(
        headers
    )
    assert "SCHILY.acl.access" not in headers  # it would hold the host's name for uid 0
    assert members(data)["./weird/kept"].mode == 0o4755


def test_the_stream_passes_through_a_socket(root: Path) -> None:
    """sshd gives a command sockets, and those cannot be opened by name."""
    ours, theirs = socket.socketpair()
    with ours:
        command = ["sh", "-c", stream_script(spec(root))]
        process = subprocess.Popen(
            command, stdout=theirs.fileno(), stderr=subprocess.PIPE, text=True
        )
        theirs.close()
        data = b"".join(iter(lambda: ours.recv(1 << 16), b""))
        _, stderr = process.communicate()
    assert data == stream_of(spec(root))
    assert "rootwright-layer tee 0" in stderr


def test_a_file_that_changes_while_it_is_read_is_an_error(root: Path) -> None:
    growing = root / "a-growing-file"
    growing.write_bytes(bytes(8 * CHUNK))

    def grow(sent: int) -> None:
        with growing.open("ab") as file:
            file.write(b"more")

    with pytest.raises(ShipError, match="a file changed") as caught:
        b"".join(layer_of(root, progress=grow))
    assert "a-growing-file" in caught.value.output
    assert caught.value.exit_code == 4


def test_a_tar_that_says_much_is_understood_by_its_end(root: Path) -> None:
    """A session keeps the last lines of what was said."""
    one = spec(root, devices=(NULL,))
    said = output(digest_script(one)).splitlines()
    assert read_digest("\n".join(said[-4:])) == read_digest("\n".join(said))
    assert len(said) >= 4


def test_a_root_that_is_not_there() -> None:
    with pytest.raises(ShipError, match="exit status 2") as caught:
        read_size(output(size_script(LayerSpec("/nonexistent", EPOCH))))
    assert "/nonexistent" in caught.value.output
    with pytest.raises(ShipError):
        read_digest(output(digest_script(LayerSpec("/nonexistent", EPOCH))))


def test_a_host_without_gnu_tar(root: Path, tmp_path: Path) -> None:
    script = size_script(spec(root)).replace("\ntar ", "\nnosuchtar ")
    with pytest.raises(ShipError, match="no GNU tar"):
        read_size(output(script))


# What each way of breaking the stream's script must be told as.
BROKEN = {
    "cut in the middle": (
        "| { tee",
        "| { head -c 3000000; cat >/dev/null; } | { tee",
        "root changed",
    ),
    "cut at a member's end": (" --file=-", " --exclude=./z* --file=-", "root changed"),
    "one byte more": ("| { tee", "| { cat; printf x; } | { tee", "more than"),
    "another byte": ("tee /dev/fd/6", "tee /dev/fd/6 | tr a b", "changed on its way"),
    "tar killed": (
        "--file=-",
        "--file=- --checkpoint=50 --checkpoint-action=exec='kill $PPID'",
        "signal 15",
    ),
    "no digest": ("%% *}", "%%*}", "was cut"),
    "script ended early": ("} 5>&1", "exit 7; } 5>&1", "was cut"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_stream_never_ends_well(root: Path, how: str) -> None:
    old, new, told = BROKEN[how]
    for number in range(8):
        (root / f"z{number}").write_bytes(b"a" * CHUNK)
    stream = layer_of(root, spoil=lambda script: script.replace(old, new, 1))
    with pytest.raises(ShipError, match=told) as caught:
        list(stream)
    assert caught.value.exit_code == 4
    assert caught.value.hint
    assert stream.digest == ""
    assert stream.sent <= stream.size - CHUNK  # the end was kept back


class PureSource:
    """Bytes in pieces of given lengths, with a report that may lie."""

    def __init__(self, data: bytes, cuts: Iterator[int], report: str | None = None) -> None:
        self.data = io.BytesIO(data)
        self.cuts = cuts
        self.closed = False
        digest = hashlib.sha256(data).hexdigest()
        mark = "rootwright-layer"
        self.report = report or f"{mark} tar 0\r\n{mark} tee 0\r\n{mark} sha256 {digest}\r\n"

    def read(self, size: int, /) -> bytes:
        return self.data.read(min(size, next(self.cuts, size)))

    def finish(self) -> tuple[int, str]:
        return 0, self.report

    def close(self) -> None:
        self.closed = True


@given(
    length=st.integers(0, 3 * CHUNK + 100),
    cuts=st.lists(st.integers(1, 2 * CHUNK), max_size=40),
)
def test_pieces_are_the_stream_whatever_the_reads_were(length: int, cuts: list[int]) -> None:
    data = hashlib.sha256(str(length).encode()).digest() * (length // 32 + 1)
    source = PureSource(data[:length], iter(cuts))
    told: list[int] = []
    stream = LayerStream(source, length, progress=told.append)
    pieces = list(stream)
    assert b"".join(pieces) == data[:length]
    assert all(CHUNK <= len(piece) < 2 * CHUNK + 1 for piece in pieces[:-1])
    assert told == sorted(told)
    assert (told or [0])[-1] == stream.sent == length
    assert stream.digest == f"sha256:{hashlib.sha256(data[:length]).hexdigest()}"
    assert source.closed


def test_a_connection_that_breaks_says_how_far_it_came() -> None:
    class Broken(PureSource):
        def read(self, size: int, /) -> bytes:
            data = super().read(size)
            if not data:
                raise ConnectionResetError("reset by peer")
            return data

    source = Broken(bytes(3 * CHUNK), iter(()))
    with pytest.raises(ShipError, match=f"after {3 * CHUNK} of {9 * CHUNK} bytes") as caught:
        list(LayerStream(source, 9 * CHUNK, where="build-host"))
    assert caught.value.where == "build-host"
    assert caught.value.output == "reset by peer"
    assert source.closed


def test_memory_stays_bounded() -> None:
    class Endless(PureSource):
        left = 256

        def read(self, size: int, /) -> bytes:
            self.left -= 1
            return bytes(size) if self.left >= 0 else b""

    source = Endless(b"", iter(()), report="rootwright-layer tar 0")
    stream = LayerStream(source, 256 * CHUNK)
    tracemalloc.start()
    with pytest.raises(ShipError):
        deque(stream, maxlen=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert stream.sent == 255 * CHUNK
    assert peak < 16 * CHUNK


@pytest.mark.parametrize(
    "make",
    [
        lambda: LayerSpec("relative", EPOCH),
        lambda: LayerSpec("/root", EPOCH, ("proc/*",)),
        lambda: LayerSpec("/root", EPOCH, ("/",)),
        lambda: LayerSpec("/root", EPOCH, ("/a/../b",)),
        lambda: LayerSpec("/root", EPOCH, (), (NULL, NULL)),
        lambda: LayerSpec("/root", EPOCH, (), (Device("/" + "n" * 300, "c", 1, 3, 0o666),)),
        lambda: LayerSpec("/root", EPOCH, (), (Device("/d", "c", 1 << 40, 3, 0o666),)),
    ],
)
def test_what_cannot_be_meant_is_refused(make: Callable[[], LayerSpec]) -> None:
    with pytest.raises(UsageError):
        make()
