"""Keys of hosts as known_hosts and ~/.ssh/config have them, against the real sshd and ssh."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rootwright.errors import HostKeyError
from rootwright.hosts import connect
from rootwright.inventory import HostSpec
from tests.support.needs import lacks_program, needs
from tests.support.sshd import Sshd, fingerprint, new_key


@pytest.fixture
def server(sshd: Sshd) -> Sshd:
    needs(lacks_program("ssh", "openssh-client"))
    return sshd


@pytest.fixture
def known(home: Path) -> Path:
    return home / ".ssh/known_hosts"


def spec(server: Sshd, address: str = "") -> HostSpec:
    return HostSpec("box", address or server.host, server.port, "root", str(server.client_key))


def reach(host: HostSpec, *, accept_new: bool = False) -> None:
    connect(host, ask=lambda _: "", accept_new=accept_new).close()


def refused(host: HostSpec, *, accept_new: bool = False) -> HostKeyError:
    with pytest.raises(HostKeyError) as caught:
        reach(host, accept_new=accept_new)
    assert caught.value.hint
    return caught.value


def openssh(server: Sshd, known: Path, *options: str) -> int:
    """Return how OpenSSH's own client ends with these known hosts."""
    argv = ["ssh", "-F", "none", "-p", str(server.port), "-i", str(server.client_key)]
    argv += [f"-oUserKnownHostsFile={known}", "-oGlobalKnownHostsFile=none", "-oBatchMode=yes"]
    return subprocess.run(
        [*argv, *options, f"root@{server.host}", "true"], capture_output=True
    ).returncode


@pytest.mark.parametrize("names", ["[127.0.0.1]:{port}", "*", "[*]:{port}", "x,[127.0.0.?]:*"])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("accept_new", [True, False])
def test_a_revoked_key_is_refused_though_another_line_vouches_for_it(
    server: Sshd, known: Path, names: str, first: bool, accept_new: bool
) -> None:
    revoked = f"@revoked {names.format(port=server.port)} {server.host_key}\n"
    lines = [revoked, server.known_hosts_line()]
    text = "".join(lines if first else reversed(lines))
    known.write_text(text)
    assert openssh(server, known) == 255
    error = refused(spec(server), accept_new=accept_new)
    assert f"revoked: ssh-ed25519 {server.fingerprint}" in error.what
    # Nor is it accepted where nobody vouches for it.
    known.write_text(revoked)
    assert "revoked" in refused(spec(server), accept_new=accept_new).what
    assert known.read_text() == revoked


def test_a_revoked_key_is_refused_where_another_one_is_known(server: Sshd, known: Path) -> None:
    other = server.known_hosts_line().replace(server.host_key, new_key(known.parent / "other"))
    known.write_text(f"{other}@revoked * {server.host_key}\n")
    assert "revoked" in refused(spec(server)).what


def test_a_key_that_is_revoked_elsewhere_or_another_one_does_no_harm(
    server: Sshd, known: Path
) -> None:
    other = new_key(known.parent / "other")
    known.write_text(
        f"@revoked elsewhere.example.org {server.host_key}\n@revoked * {other}\n"
        f"{server.known_hosts_line()}"
    )
    assert openssh(server, known) == 0
    reach(spec(server))


def test_a_revoked_line_of_the_system_counts_as_well(
    server: Sshd, known: Path, tmp_path: Path
) -> None:
    known.write_text(server.known_hosts_line())
    (tmp_path / "system").write_text(f"@revoked * {server.host_key}\n")
    config = f"Host *\n  GlobalKnownHostsFile {tmp_path}/none {tmp_path}/system\n"
    (known.parent / "config").write_text(config)
    assert "revoked" in refused(spec(server)).what


def test_an_authority_is_no_key_of_the_host(server: Sshd, known: Path) -> None:
    known.write_text(f"@cert-authority * {server.host_key}\n")
    assert openssh(server, known) == 255
    error = refused(spec(server))
    assert "unknown" in error.what
    assert "certificates are not read" in error.hint
    # Nor does one keep another line from vouching, or the key from being accepted.
    known.write_text(f"@cert-authority * {new_key(known.parent / 'ca')}\n")
    reach(spec(server), accept_new=True)
    assert known.read_text().endswith(server.known_hosts_line())
    reach(spec(server))


def test_an_alias_is_looked_up_and_written_instead_of_the_name(server: Sshd, known: Path) -> None:
    config = known.parent / "config"
    config.write_text("Host 127.0.0.1\n  HostKeyAlias the-box\n")
    known.write_text(server.known_hosts_line())
    error = refused(spec(server))
    assert (error.where, "unknown" in error.what) == ("the-box", True)
    assert openssh(server, known, "-oHostKeyAlias=the-box") == 255
    reach(spec(server), accept_new=True)
    line = f"the-box {server.host_key}\n"
    assert known.read_text() == server.known_hosts_line() + line
    known.write_text(line)
    assert openssh(server, known, "-oHostKeyAlias=the-box") == 0
    reach(spec(server))
    known.write_text(f"the-box {new_key(known.parent / 'other')}\n")
    error = refused(spec(server), accept_new=True)
    assert "changed" in error.what
    assert "ssh-keygen -R 'the-box'" in error.hint


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("none", "no file to remember a key in"),
        ("~no-such-user-here/known", "no such user"),
        ("/proc/nothing/known", "cannot be written"),
        ("/proc/self/mem", "cannot be read"),
    ],
)
def test_a_file_that_is_of_no_use_is_named(
    server: Sshd, known: Path, setting: str, said: str
) -> None:
    (known.parent / "config").write_text(f"Host *\n  UserKnownHostsFile {setting}\n")
    error = refused(spec(server), accept_new=True)
    assert said in error.what
    assert (error.where, "UserKnownHostsFile" in error.hint) == (setting, True)
    assert not Path("none").exists()


def test_a_pattern_vouches_for_a_host(server: Sshd, known: Path) -> None:
    known.write_text(f"[127.0.0.*]:{server.port} {server.host_key}\n")
    assert openssh(server, known) == 0
    reach(spec(server))
    known.write_text(f"![127.0.0.1]:{server.port},[127.0.0.*]:* {server.host_key}\n")
    assert openssh(server, known) == 255
    assert "unknown" in refused(spec(server)).what


def test_one_of_several_known_keys_is_enough(server: Sshd, known: Path) -> None:
    old = server.known_hosts_line().replace(server.host_key, new_key(known.parent / "old"))
    known.write_text(old + server.known_hosts_line())
    assert openssh(server, known) == 0
    reach(spec(server))
    known.write_text(old)
    error = refused(spec(server))
    assert f"known ssh-ed25519 {fingerprint(old.partition(' ')[2])}" in error.what


@pytest.fixture(params=["rsa", "ecdsa"])
def double(request: pytest.FixtureRequest, server: Sshd, tmp_path: Path) -> Iterator[Sshd]:
    """A server with a second key, of which ``second.pub`` is the public half."""
    second = tmp_path / "second"
    words = ["ssh-keygen", "-q", "-N", "", "-t", request.param, "-f", str(second)]
    subprocess.run(words, check=True)
    with Sshd(tmp_path / "double", options=[f'HostKey "{second}"']) as started:
        yield started


def test_the_host_is_asked_for_the_kind_of_key_that_is_known(
    double: Sshd, known: Path, tmp_path: Path
) -> None:
    kind, blob, *_ = (tmp_path / "second.pub").read_text().split()
    known.write_text(f"[127.0.0.1]:{double.port} {kind} {blob}\n")
    assert openssh(double, known) == 0
    reach(spec(double))
    known.write_text(f"@revoked * {kind} {blob}\n{known.read_text()}")
    assert "revoked" in refused(spec(double)).what
    # The other key was never seen, and is no way around it.
    known.write_text(f"[127.0.0.1]:{double.port} {new_key(tmp_path / 'other')}\n")
    assert "changed" in refused(spec(double), accept_new=True).what
