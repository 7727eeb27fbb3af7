"""That what the other tests stand on holds: servers, networks and archives do as they are told."""

from __future__ import annotations

import getpass
import hashlib
import http.client
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.accounts import Rights, account, lacks_accounts
from tests.support.apt_archive import AptArchive
from tests.support.debs import Deb, text
from tests.support.delay_proxy import DelayProxy
from tests.support.http_server import Kind
from tests.support.sshd import Sshd, lacks_sshd
from tests.support.tiny_debian import lacks_tiny_debian

ME = getpass.getuser()
SECONDS = 60  # after which what should have ended is an error, not a hang


def run(*argv: str | Path, **given: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in argv],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        input=given.get("input"),
    )


# --- sshd


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    if lacks_sshd():
        pytest.skip(lacks_sshd())
    with Sshd(tmp_path / "a server") as started:
        yield started


def test_a_server_knows_its_key_and_is_known_by_its_own(server: Sshd) -> None:
    command = server.ssh_command(ME)
    assert run(*command, "echo in").stdout == "in\n"
    listing = run("ssh-keygen", "-l", "-f", server.folder / "host_key").stdout
    assert server.fingerprint in listing
    server.new_host_key()  # the client still knows the old one
    refused = run(*command, "echo in")
    assert refused.returncode == 255
    assert server.fingerprint in refused.stderr
    assert run(*server.ssh_command(ME), "echo in").stdout == "in\n"


def test_sessions_end_when_told_and_the_server_goes_on(server: Sshd) -> None:
    command = server.ssh_command(ME)
    client = subprocess.Popen([*command, "echo up; cat"], stdin=subprocess.PIPE, stdout=-1)
    assert client.stdout
    assert client.stdout.readline() == b"up\n"
    assert server.kill_sessions() >= 1
    assert client.wait(SECONDS) == 255
    assert run(*command, "echo in").stdout == "in\n"
    server.stop()
    assert run(*command, "echo in").returncode == 255


def test_many_servers_can_stand_side_by_side(server: Sshd, tmp_path: Path) -> None:
    servers = [Sshd(tmp_path / str(number)) for number in range(10)]
    assert len({one.port for one in servers}) == 10
    assert run(*servers[-1].ssh_command(ME), "echo in").stdout == "in\n"
    for one in servers:
        one.stop()


@pytest.mark.skipif(bool(lacks_accounts()), reason=lacks_accounts())
@pytest.mark.parametrize(
    ("rights", "without", "against"),
    [("passwordless", 0, 0), ("password", 1, 0), ("none", 1, 1)],
)
def test_an_account_has_the_rights_it_was_given_and_then_is_gone(
    server: Sshd, rights: Rights, without: int, against: int
) -> None:
    with account(rights) as user:
        command = server.ssh_command(user.name)
        assert run(*command, "id -un").stdout == f"{user.name}\n"
        assert run(*command, "sudo -n true").returncode == without
        given = run(*command, "sudo -S -p '' true", input=f"{user.password}\n")
        assert given.returncode == against
    assert run("id", user.name).returncode == 1
    assert not user.home.exists()
    assert not list(Path("/etc/sudoers.d").glob(f"{user.name}*"))


# --- the delay proxy


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve each connection in a thread; yield the port."""

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=guarded, args=(connection,), daemon=True).start()

    def guarded(connection: socket.socket) -> None:
        with connection, suppress(OSError):  # faults are what the tests are about
            serve(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def echo(connection: socket.socket) -> None:
    while data := connection.recv(1 << 20):
        connection.sendall(data)


def connect(proxy: DelayProxy) -> socket.socket:
    return socket.create_connection((proxy.host, proxy.port), timeout=SECONDS)


def everything(connection: socket.socket) -> bytes:
    chunks = []
    while data := connection.recv(1 << 20):
        chunks.append(data)
    return b"".join(chunks)


def take(connection: socket.socket, size: int) -> None:
    while size:
        size -= len(connection.recv(size))


def test_distance_takes_time_and_changes_no_byte() -> None:
    data = os.urandom(1 << 20) * 32
    with listening(echo) as port, DelayProxy(port, rtt=0.1) as proxy, connect(proxy) as client:
        begun = time.monotonic()
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        assert time.monotonic() - begun >= 0.2  # connecting takes a round trip too
        begun = time.monotonic()
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        assert time.monotonic() - begun >= 0.1

        def send() -> None:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)

        threading.Thread(target=send).start()
        assert hashlib.sha256(everything(client)).digest() == hashlib.sha256(data).digest()
        counts = proxy.counts()
        assert (counts.up, counts.down, counts.connections) == (len(data) + 2, len(data) + 2, 1)


def test_a_cut_comes_after_exactly_so_many_bytes() -> None:
    with listening(lambda peer: peer.sendall(bytes(1 << 22))) as port, DelayProxy(port) as proxy:
        proxy.cut_after(1_000_003, "down")
        with connect(proxy) as client:
            assert len(everything(client)) == 1_000_003
        with connect(proxy) as client:  # once only
            assert len(everything(client)) == 1 << 22


def test_a_cut_resets_both_ends() -> None:
    lost = threading.Event()

    def serve(peer: socket.socket) -> None:
        peer.sendall(b"up")
        try:
            peer.recv(1)
        except ConnectionResetError:
            lost.set()

    with listening(serve) as port, DelayProxy(port) as proxy, connect(proxy) as client:
        assert client.recv(2) == b"up"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        assert lost.wait(SECONDS)


def test_a_stall_holds_everything_back_until_it_ends() -> None:
    with listening(echo) as port, DelayProxy(port) as proxy, connect(proxy) as client:
        proxy.stall_after(1000, "down")
        client.sendall(bytes(3000))
        client.shutdown(socket.SHUT_WR)
        take(client, 1000)
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)
        proxy.resume()
        client.settimeout(SECONDS)
        assert len(everything(client)) == 2000


def test_a_stall_may_end_by_itself() -> None:
    with listening(echo) as port, DelayProxy(port) as proxy:
        proxy.stall_after(1000, "down", 0.1, "cut")
        with connect(proxy) as client:
            client.sendall(bytes(3000))
            take(client, 1000)
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        proxy.stall_after(1000, "down", 0.1, "resume")
        with connect(proxy) as client:
            client.sendall(bytes(3000))
            client.shutdown(socket.SHUT_WR)
            assert len(everything(client)) == 3000


def test_a_link_becomes_narrow_at_a_byte() -> None:
    with (
        listening(lambda peer: peer.sendall(bytes(1 << 20))) as port,
        DelayProxy(port, window=1 << 16) as proxy,
        connect(proxy) as client,
    ):
        proxy.throttle_after(500_000, 0.1, "down")
        take(client, 500_000)
        client.settimeout(1)
        with pytest.raises(TimeoutError):
            everything(client)


def test_a_narrow_link_does_not_come_to_a_stop() -> None:
    with (
        listening(lambda peer: peer.sendall(bytes(1 << 25))) as port,
        DelayProxy(port, rate=1e9, window=1 << 18) as proxy,
        connect(proxy) as client,
    ):
        assert len(everything(client)) == 1 << 25


def test_a_unix_socket_is_reached_too(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener, DelayProxy(path) as proxy:
        with pytest.raises(ConnectionResetError), connect(proxy) as client:
            client.recv(1)  # nobody listens yet
        listener.bind(str(path))
        listener.listen()
        with connect(proxy) as client:
            peer, _ = listener.accept()
            with peer:
                peer.sendall(b"down")
            assert everything(client) == b"down"


def test_a_narrow_link_takes_its_time_and_little_memory() -> None:
    with (
        listening(lambda peer: peer.sendall(bytes(1 << 26))) as port,
        DelayProxy(port, window=1 << 20) as proxy,
    ):
        proxy.throttle(1_000_000)
        with connect(proxy) as client:
            begun = time.monotonic()
            take(client, 300_000)
            assert time.monotonic() - begun >= 0.25
        proxy.throttle(None)
        with connect(proxy) as client:
            client.recv(1)
            time.sleep(0.3)  # it could have read all of it by now
            status = Path(f"/proc/{proxy.pid}/status").read_text()
            assert int(status.partition("VmRSS:")[2].split()[0]) < 48 << 10


# --- the archive


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[AptArchive]:
    if lacks_tiny_debian():
        pytest.skip(lacks_tiny_debian())
    for tool in ("gpg", "mmdebstrap", "debootstrap"):
        if not shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin"):
            pytest.skip(f"{tool} is missing: apt-get install {tool}")
    if os.geteuid() != 0:
        pytest.skip("a bootstrap needs root here")
    with AptArchive(tmp_path / "archive") as made:
        yield made


def mmdebstrap(archive: AptArchive, root: Path) -> subprocess.CompletedProcess[str]:
    argv = ["mmdebstrap", "--variant=minbase", "--format=directory", archive.suite]
    return run("unshare", "--mount", *argv, root, *archive.sources())


def debootstrap(archive: AptArchive, root: Path) -> subprocess.CompletedProcess[str]:
    argv = ["debootstrap", "--variant=minbase", "--force-check-gpg"]
    argv += [f"--keyring={archive.keyring}", archive.suite]
    return run("unshare", "--mount", *argv, root, archive.mirror)


@pytest.mark.parametrize("bootstrap", [mmdebstrap, debootstrap])
def test_a_root_is_bootstrapped_works_and_is_upgraded(
    archive: AptArchive,
    tmp_path: Path,
    bootstrap: Callable[[AptArchive, Path], subprocess.CompletedProcess[str]],
) -> None:
    root = tmp_path / "root"
    made = bootstrap(archive, root)
    assert made.returncode == 0, made.stderr
    assert run("chroot", root, "dpkg", "--audit").stdout == ""
    assert run("chroot", root, "dpkg", "--verify").stdout == ""
    assert run("chroot", root, "usermod", "--lock", "root").returncode == 0
    hello = Deb("hello", "1", files={"/usr/bin/hello": text("#!/bin/sh\necho Hello\n", 0o755)})
    archive.publish(hello)
    archive.publish(archive.package("dash").upgraded(), suite=archive.security)
    trusted = "/usr/share/keyrings/debian-archive-keyring.gpg"
    sources = "\n".join(archive.sources()).replace(str(archive.keyring), trusted)
    (root / "etc/apt/sources.list").write_text(f"{sources}\n")
    for command in ("update", "--yes upgrade", "--yes install hello"):
        done = run("chroot", root, "apt-get", *command.split())
        assert done.returncode == 0, done.stderr
    assert run("chroot", root, "hello").stdout == "Hello\n"
    assert run("chroot", root, "dpkg-query", "-W", "dash").stdout.endswith("+sec1\n")


@pytest.mark.parametrize(
    ("pattern", "kind", "words"),
    [
        ("*/InRelease", "corrupt", "signature"),
        ("*/dash_*", "corrupt", "hash"),
        ("*/dash_*", "missing", "404"),
    ],
)
def test_a_fault_is_noticed(
    archive: AptArchive, tmp_path: Path, pattern: str, kind: Kind, words: str
) -> None:
    archive.server.fail(pattern, kind)
    made = mmdebstrap(archive, tmp_path / "root")
    assert made.returncode != 0
    assert words in made.stderr.lower()


def test_debootstrap_refuses_a_release_that_was_changed(
    archive: AptArchive, tmp_path: Path
) -> None:
    archive.server.fail("*/InRelease", "corrupt")
    made = debootstrap(archive, tmp_path / "root")
    assert made.returncode != 0
    assert "signature" in (made.stdout + made.stderr).lower()


def test_an_answer_is_cut_short(archive: AptArchive) -> None:
    archive.server.fail("*/Release", "cut", after=100)
    url = f"{archive.mirror}/dists/{archive.suite}/Release"
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:
        with pytest.raises(http.client.IncompleteRead) as caught:
            answer.read()
        assert len(caught.value.partial) == 100


def test_a_stalled_answer_goes_on_until_it_is_mended(archive: AptArchive) -> None:
    archive.server.fail("*/InRelease", "stall", after=10)
    url = f"{archive.mirror}/dists/{archive.suite}/InRelease"
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:
        assert answer.read(10) == b"-----BEGIN"
        archive.server.mend()
        assert answer.read(1) == b""
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:
        assert b"END PGP SIGNATURE" in answer.read()
    assert archive.server.requests.count(f"/debian/dists/{archive.suite}/InRelease") == 2


def test_the_date_of_a_release_can_be_chosen(archive: AptArchive) -> None:
    archive.set_date(datetime(2025, 2, 3, 4, 5, 6, tzinfo=UTC), archive.security)
    dates = {}
    for base, suite in (
        (archive.mirror, archive.suite),
        (archive.security_mirror, archive.security),
    ):
        with urllib.request.urlopen(f"{base}/dists/{suite}/Release", timeout=SECONDS) as answer:
            dates[suite] = answer.read().decode().partition("Date: ")[2].partition("\n")[0]
    assert dates == {
        archive.suite: "Sat, 01 Jun 2024 12:00:00 UTC",
        archive.security: "Mon, 03 Feb 2025 04:05:06 UTC",
    }
