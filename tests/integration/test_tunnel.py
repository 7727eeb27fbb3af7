"""A host reaches a port of ours: ``Host.reach``, over a real sshd."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rootwright.errors import HostError
from rootwright.hosts import Host, connect
from rootwright.inventory import HostSpec, Inventory
from rootwright.sample_mirror import serve
from tests.support.sshd import Sshd

SIZE = 5_000_003
"""Bytes: more than fits into any window on the way."""

PATIENCE = 15.0

FETCH = """
import hashlib, sys, urllib.request
with urllib.request.urlopen(sys.argv[1]) as answer:
    print(hashlib.sha256(answer.read()).hexdigest())
"""


@contextmanager
def connected(server: Sshd, home: Path) -> Iterator[Host]:
    (home / ".ssh/known_hosts").write_text(server.known_hosts_line())
    spec = HostSpec("box", server.host, server.port, "root", str(server.client_key))
    host = connect(spec, ask=lambda _: "")
    try:
        yield host
    finally:
        host.close()


def said(host: Host, *argv: str) -> tuple[int, str]:
    """Run a program on the host; return how it ended and what it printed."""
    words = " ".join(f"'{word}'" for word in argv)
    stream = host.stream(f"{words} 2>&1")
    text = b""
    while data := stream.read(65536):
        text += data
    return stream.finish()[0], text.decode()


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """A folder with a file that is nothing like another."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "file").write_bytes(os.urandom(SIZE))
    return folder


def test_a_host_reads_what_is_served_here(
    home: Path, work_dir: str, sshd: Sshd, served: Path
) -> None:
    wanted = hashlib.sha256((served / "file").read_bytes()).hexdigest()
    with serve(served) as server, connected(sshd, home) as host:
        # Two plays may want two ports, and one port twice.
        ports = [host.reach(server.port), host.reach(server.port)]
        assert len({*ports, server.port}) == 3
        for port in ports:
            url = f"http://127.0.0.1:{port}/file"
            assert said(host, sys.executable, "-c", FETCH, url) == (0, f"{wanted}\n")
    # It lasts until the host is left.
    end = time.monotonic() + PATIENCE
    for port in ports:
        while listens(port):
            assert time.monotonic() < end, port
            time.sleep(0.05)


def listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def test_where_nobody_listens_here_the_host_is_hung_up_on(
    home: Path, work_dir: str, sshd: Sshd
) -> None:
    with socket.socket() as nobody, connected(sshd, home) as host:
        nobody.bind(("127.0.0.1", 0))
        port = host.reach(nobody.getsockname()[1])
        url = f"http://127.0.0.1:{port}/file"
        code, text = said(host, sys.executable, "-c", FETCH, url)
        assert code == 1
        assert text.splitlines()[-1].startswith(("http.client.Remote", "ConnectionReset", "urllib"))
        # The connection itself has not suffered.
        assert said(host, "echo", "well") == (0, "well\n")


@pytest.mark.parametrize("option", ["AllowTcpForwarding no", "AllowTcpForwarding local"])
def test_a_host_that_allows_no_tunnel_says_how_to_allow_it(
    home: Path, work_dir: str, tmp_path: Path, option: str
) -> None:
    with Sshd(tmp_path / "strict", options=[option]) as strict, connected(strict, home) as host:
        with pytest.raises(HostError, match="does not let us open a tunnel back") as caught:
            host.reach(80)
        assert (caught.value.where, caught.value.exit_code) == ("box", 3)
        assert "AllowTcpForwarding yes" in caught.value.hint
        assert said(host, "echo", "well") == (0, "well\n")


def test_this_machine_needs_no_tunnel() -> None:
    (spec,) = Inventory.load(None, default=Path("/nonexistent/hosts.toml")).select([])
    host = connect(spec, ask=lambda _: "")
    assert host.reach(4321) == 4321
    host.close()
