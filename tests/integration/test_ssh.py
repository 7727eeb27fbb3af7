"""SSH as people have it: keys of hosts, jumps, aliases, shells, sudo, and all that goes wrong."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pexpect
import pytest

from rootwright.errors import HostError, HostKeyError, PrivilegeError, RootwrightError
from rootwright.hosts import Host, PasswordPrompt, ask_on_terminal, connect, ssh
from rootwright.inventory import Become, HostSpec
from rootwright.secret import PASSWORD_VARIABLE
from rootwright.session import Session, SessionSpec
from tests.support.accounts import Account, account, lacks_accounts
from tests.support.books import waiting_book
from tests.support.needs import lacks_program, needs
from tests.support.sshd import Sshd, fingerprint, new_key

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def server(home: Path, work_dir: str, sshd: Sshd) -> Sshd:
    """The shared server, known to this home."""
    (home / ".ssh/known_hosts").write_text(sshd.known_hosts_line())
    return sshd


@pytest.fixture
def stranger(home: Path, work_dir: str, sshd: Sshd, tmp_path: Path) -> Iterator[Sshd]:
    """A server of this test alone, not known yet."""
    with Sshd(tmp_path / "stranger") as started:
        yield started


def spec(
    server: Sshd,
    user: str = "root",
    *,
    port: int = 0,
    key: Path | str | None = "",
    become: Become | None = None,
) -> HostSpec:
    key = server.client_key if key == "" else key
    path = None if key is None else str(key)
    return HostSpec("box", server.host, port or server.port, user, path, become)


def nobody(host: str) -> str:
    return pytest.fail(f"a password for {host} was asked for")


@contextmanager
def connected(
    spec: HostSpec, ask: PasswordPrompt = nobody, accept_new: bool = False
) -> Iterator[Host]:
    host = connect(spec, ask=ask, accept_new=accept_new)
    try:
        yield host
    finally:
        host.close()


@contextmanager
def opened(
    spec: HostSpec, work_dir: str, ask: PasswordPrompt = nobody, accept_new: bool = False
) -> Iterator[tuple[Host, Session]]:
    book = SessionSpec(folder=f"{work_dir}/book", who="me")
    with connected(spec, ask, accept_new) as host, Session(host, book) as session:
        yield host, session


def who(
    spec: HostSpec, work_dir: str, ask: PasswordPrompt = nobody, accept_new: bool = False
) -> str:
    """Return what a session says of the connection it came through."""
    with opened(spec, work_dir, ask, accept_new) as (_, session):
        return session.request("id -u; echo ${SSH_CONNECTION-}").output + "\n"


def refused(
    spec: HostSpec, work_dir: str, ask: PasswordPrompt = nobody, accept_new: bool = False
) -> RootwrightError:
    with pytest.raises(RootwrightError) as caught:
        who(spec, work_dir, ask, accept_new)
    assert caught.value.exit_code == 3
    assert caught.value.where
    assert caught.value.hint
    return caught.value


# --- host keys


def test_an_unknown_key_is_refused_with_its_fingerprint(
    stranger: Sshd, home: Path, work_dir: str
) -> None:
    error = refused(spec(stranger), work_dir)
    assert isinstance(error, HostKeyError)
    assert f"ssh-ed25519 {stranger.fingerprint}" in error.what
    assert f"`ssh -p {stranger.port} root@127.0.0.1`" in error.hint
    assert "--accept-new-host-key" in error.hint
    assert not (home / ".ssh/known_hosts").exists()


def test_a_new_key_is_accepted_once_on_request(stranger: Sshd, home: Path, work_dir: str) -> None:
    known = home / ".ssh/known_hosts"
    known.write_text("# a line without an end")
    assert who(spec(stranger), work_dir, accept_new=True).startswith("0\n")
    assert known.read_text() == f"# a line without an end\n{stranger.known_hosts_line()}"
    assert who(spec(stranger), work_dir).startswith("0\n")
    # OpenSSH reads it too.
    seen = subprocess.run(
        ["ssh-keygen", "-F", f"[127.0.0.1]:{stranger.port}", "-f", str(known)], capture_output=True
    )
    assert seen.returncode == 0


@pytest.mark.parametrize("accept_new", [False, True])
def test_a_changed_key_is_always_refused(
    stranger: Sshd, home: Path, work_dir: str, accept_new: bool
) -> None:
    known = home / ".ssh/known_hosts"
    known.write_text(stranger.known_hosts_line())
    old = stranger.fingerprint
    stranger.new_host_key()
    error = refused(spec(stranger), work_dir, accept_new=accept_new)
    assert isinstance(error, HostKeyError)
    assert f"known ssh-ed25519 {old}, now ssh-ed25519 {stranger.fingerprint}" in error.what
    command = error.hint.split("`")[1]
    assert command == f"ssh-keygen -R '[127.0.0.1]:{stranger.port}'"
    subprocess.run(f"{command} -f {known}", shell=True, check=True, capture_output=True)
    assert "unknown" in refused(spec(stranger), work_dir).what


def test_a_hashed_known_host_is_known(server: Sshd, home: Path, work_dir: str) -> None:
    known = home / ".ssh/known_hosts"
    subprocess.run(["ssh-keygen", "-H", "-f", str(known)], check=True, capture_output=True)
    assert str(server.port) not in known.read_text()
    assert who(spec(server), work_dir).startswith("0\n")


@pytest.mark.parametrize(
    "line", ["127.0.0.1 ssh-ed25519 AAAA", "@revoked * ssh-rsa A", "\udcff \udcfe", "x y z"]
)
def test_a_broken_line_of_known_hosts_hides_no_other(
    server: Sshd, home: Path, work_dir: str, line: str
) -> None:
    known = home / ".ssh/known_hosts"
    known.write_bytes(f"{line}\n{known.read_text()}".encode("utf-8", "surrogateescape"))
    assert who(spec(server), work_dir).startswith("0\n")


@pytest.fixture
def jump(server: Sshd, stranger: Sshd, home: Path) -> str:
    """A config that reaches the shared server through the other one, and their known_hosts."""
    (home / ".ssh/config").write_text(
        f"Host target\n  HostName 127.0.0.1\n  Port {server.port}\n  User root\n"
        f"  IdentityFile {server.client_key}\n  ProxyJump gate\n"
        f"Host gate\n  HostName localhost\n  Port {stranger.port}\n  User root\n"
        f"  IdentityFile {stranger.client_key}\n"
    )
    return server.known_hosts_line() + f"[localhost]:{stranger.port} {stranger.host_key}\n"


TARGET = HostSpec("target")


def test_a_jump_checks_every_key(
    jump: str, server: Sshd, stranger: Sshd, home: Path, work_dir: str
) -> None:
    known = home / ".ssh/known_hosts"
    known.write_text(jump)
    with connected(TARGET) as host:
        # Through the gate, and not beside it.
        assert stranger.sessions()
        stream = host.stream("echo $SSH_CONNECTION")
        assert stream.read(100).split()[2:] == [b"127.0.0.1", str(server.port).encode()]
        stream.close()
    assert who(TARGET, work_dir).startswith("0\n")

    gate, target = jump.splitlines()[1], jump.splitlines()[0]
    known.write_text(f"{target}\n")
    error = refused(TARGET, work_dir)
    assert isinstance(error, HostKeyError)
    assert stranger.fingerprint in error.what
    assert f"`ssh -p {stranger.port} root@localhost`" in error.hint

    known.write_text(f"{gate}\n")
    error = refused(TARGET, work_dir)
    assert isinstance(error, HostKeyError)
    assert server.fingerprint in error.what
    assert f"`ssh -p {server.port} root@127.0.0.1`" in error.hint

    known.write_text("")
    assert who(TARGET, work_dir, accept_new=True).startswith("0\n")
    assert sorted(known.read_text().splitlines()) == sorted(jump.splitlines())

    other = new_key(home / "other")
    for line, right in ((0, server), (1, stranger)):
        lines = jump.splitlines()
        name, _, _ = lines[line].partition(" ")
        lines[line] = f"{name} {other}"
        known.write_text("\n".join(lines) + "\n")
        error = refused(TARGET, work_dir, accept_new=True)
        assert isinstance(error, HostKeyError)
        assert (
            f"known ssh-ed25519 {fingerprint(other)}, now ssh-ed25519 {right.fingerprint}"
            in error.what
        )
        assert f"ssh-keygen -R '{name}'" in error.hint


# --- finding the host


def test_an_alias_of_the_ssh_config_is_enough(server: Sshd, home: Path, work_dir: str) -> None:
    (home / ".ssh/config").write_text(server.config_block("alias", "User root"))
    (home / ".ssh/known_hosts").unlink()  # the block names another one
    port = who(HostSpec("alias"), work_dir).split()[-1]
    assert port == str(server.port)
    assert who(HostSpec("other", "alias"), work_dir).split()[-1] == port


def test_the_inventory_wins_over_the_ssh_config(server: Sshd, home: Path, work_dir: str) -> None:
    (home / ".ssh/config").write_text(
        "Host 127.0.0.1 box\n  Port 1\n  User nobody-at-all\n  IdentityFile ~/.ssh/none\n"
    )
    key = home / "a key"
    key.write_bytes(server.client_key.read_bytes())
    key.chmod(0o600)
    assert who(spec(server, key="~/a key"), work_dir).startswith("0\n")


def test_a_key_of_the_home_is_found(server: Sshd, home: Path, work_dir: str) -> None:
    key = home / ".ssh/id_ed25519"
    key.write_bytes(server.client_key.read_bytes())
    key.chmod(0o600)
    assert who(spec(server, key=None), work_dir).startswith("0\n")


def test_a_host_that_is_down(server: Sshd, work_dir: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = refused(spec(server, port=taken.getsockname()[1]), work_dir)
    assert isinstance(error, HostError)
    assert "cannot be reached" in error.what
    assert "None" not in error.what


def test_a_name_that_is_none(home: Path, work_dir: str) -> None:
    error = refused(HostSpec("no-such-host.invalid"), work_dir)
    assert error.what == "the host's name is unknown"
    assert error.where == "no-such-host.invalid"


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\xff" * 40000])
def test_a_port_where_no_ssh_answers(
    home: Path,
    work_dir: str,
    said: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(ssh, "CONNECT_TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        clients = []

        def answer() -> None:
            with suppress(OSError):
                clients.append(listener.accept()[0])
                clients[0].sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        started = time.monotonic()
        error = refused(HostSpec("box", "127.0.0.1", listener.getsockname()[1], "root"), work_dir)
        assert time.monotonic() - started < 20
        thread.join()
        for client in clients:
            client.close()
    assert isinstance(error, HostError)
    assert capfd.readouterr().err == ""


def test_a_login_that_is_refused(server: Sshd, home: Path, work_dir: str) -> None:
    new_key(home / "unknown_key")
    error = refused(spec(server, key=str(home / "unknown_key")), work_dir)
    assert "refuses our login" in error.what
    assert "ssh-agent" in error.hint
    error = refused(spec(server, key=str(home / "no_key")), work_dir)
    assert "no_key" in error.what


def test_a_config_that_makes_no_sense(server: Sshd, home: Path, work_dir: str) -> None:
    (home / ".ssh/config").write_text("Host\n  Port abc def\nMatch nonsense\n")
    refused(HostSpec("alias"), work_dir)


@pytest.mark.parametrize("option", ["PermitTTY no", "MaxSessions 0", "ForceCommand /bin/false"])
def test_a_server_that_gives_no_terminal(
    home: Path, work_dir: str, sshd: Sshd, tmp_path: Path, option: str
) -> None:
    with Sshd(tmp_path / "strict", options=[option]) as strict:
        (home / ".ssh/known_hosts").write_text(strict.known_hosts_line())
        error = refused(spec(strict), work_dir)
        assert isinstance(error, HostError)
        # Nobody waits for the answer to the request for a terminal: the keeper says it.
        assert ("the host gives no terminal" in error.output) == (option == "PermitTTY no")


def test_a_server_that_gives_no_second_channel(
    home: Path, work_dir: str, sshd: Sshd, tmp_path: Path
) -> None:
    with Sshd(tmp_path / "strict", options=["MaxSessions 1"]) as strict:
        (home / ".ssh/known_hosts").write_text(strict.known_hosts_line())
        with opened(spec(strict), work_dir) as (host, session):
            with pytest.raises(HostError):
                host.stream("true")
            assert session.request("true").status == 0


# --- shells

GREETINGS = {
    "dash": "",
    "bash": ".bashrc",
    "fish": ".config/fish/config.fish",
    "bsd-csh": ".cshrc",
    "tcsh": ".tcshrc",
    "zsh": ".zshenv",
}


@pytest.mark.parametrize("shell", GREETINGS)
@pytest.mark.parametrize("become", [None, "sudo"])
def test_any_login_shell_will_do(
    server: Sshd, builder: Account, work_dir: str, shell: str, become: Become | None
) -> None:
    needs(lacks_program(shell, {"bsd-csh": "csh"}.get(shell, shell)))
    path = str(shutil.which(shell))
    if GREETINGS[shell]:
        greeting = builder.home / GREETINGS[shell]
        greeting.parent.mkdir(parents=True, exist_ok=True)
        greeting.write_text(
            "echo 'Welcome to the machine'; printf 'no end of line: '\nalias sh false\n"
        )
    subprocess.run(["usermod", "--shell", path, builder.name], check=True)
    try:
        with connected(spec(server, builder.name, become=become)) as host:
            with Session(host, SessionSpec(folder=f"{work_dir}/book", who="me")) as session:
                assert session.request("id -u; echo '!$(x)`'").output == "0\n!$(x)`"
            # The greeting is not part of what a stream carries.
            stream = host.stream("printf 'first\\0'; head -c 70000 /dev/zero; exit 4")
            data = b""
            while chunk := stream.read(1 << 16):
                data += chunk
            assert data == b"first\0" + bytes(70000)
            assert stream.finish()[0] == 4
    finally:
        subprocess.run(["usermod", "--shell", "/bin/sh", builder.name], check=True)


def test_a_login_shell_that_is_none(server: Sshd, builder: Account, work_dir: str) -> None:
    subprocess.run(["usermod", "--shell", "/usr/sbin/nologin", builder.name], check=True)
    try:
        error = refused(spec(server, builder.name), work_dir)
    finally:
        subprocess.run(["usermod", "--shell", "/bin/sh", builder.name], check=True)
    assert "not available" in error.output


# --- privilege


def test_the_password_comes_from_the_environment(
    server: Sshd, careful: Account, work_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, careful.password)
    assert who(spec(server, careful.name), work_dir).startswith("0\n")


def test_the_password_is_asked_for_once(server: Sshd, careful: Account, work_dir: str) -> None:
    asked = []

    def ask(host: str) -> str:
        asked.append(host)
        return careful.password

    with opened(spec(server, careful.name), work_dir, ask) as (host, session):
        assert session.request("id -u").output == "0"
        stream = host.stream("id -u; cat")
        assert stream.read(100) == b"0\n"
        assert stream.read(100) == b""
        assert stream.finish() == (0, "")
    assert asked == ["box"]


def test_a_password_that_sudo_did_not_ask_for_is_not_left_lying_about(
    server: Sshd, builder: Account, work_dir: str
) -> None:
    with connected(spec(server, builder.name)) as host:
        host._password = "secret"  # as if it had been asked for before
        stream = host.stream("cat")
        assert stream.read(100) == b""
        assert stream.finish() == (0, "")


@pytest.mark.parametrize("by", ["environment", "prompt"])
def test_a_wrong_password(
    server: Sshd, careful: Account, work_dir: str, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    if by == "environment":
        monkeypatch.setenv(PASSWORD_VARIABLE, "wr0ng")
    error = refused(spec(server, careful.name), work_dir, ask=lambda _: "wr0ng")
    assert isinstance(error, PrivilegeError)
    assert "does not accept the password" in error.what
    assert "wr0ng" not in "\n".join(error.lines())


def test_a_user_without_rights(server: Sshd, guest: Account, work_dir: str) -> None:
    error = refused(spec(server, guest.name), work_dir, ask=lambda _: guest.password)
    assert isinstance(error, PrivilegeError)
    assert "sudoers" in error.output
    error = refused(spec(server, guest.name, become="none"), work_dir)
    assert isinstance(error, PrivilegeError)
    assert "cannot write" in error.what


def test_nobody_to_ask(
    server: Sshd, careful: Account, work_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        error = refused(spec(server, careful.name), work_dir, ask=ask_on_terminal)
    assert PASSWORD_VARIABLE in error.hint


def test_sudo_without_a_terminal_of_its_own(server: Sshd, work_dir: str) -> None:
    needs(lacks_accounts())
    with (
        account("passwordless", defaults="!use_pty") as plain,
        opened(spec(server, plain.name), work_dir) as (_, session),
    ):
        reply = session.request("printf 'Name? '; read -r n; echo $n", answers=[("Name", "x")])
        assert reply.output.endswith("x")


# --- the command line


def command_line(server: Sshd, user: str, folder: Path, work_dir: str) -> list[str]:
    """Return the argv that plays the waiting book on a host of an inventory of its own."""
    (folder / "hosts.toml").write_text(
        f'[hosts.box]\naddress = "127.0.0.1"\nport = {server.port}\nuser = "{user}"\n'
        f'key = "{server.client_key}"\n'
    )
    words = ["--host", "box", "--inventory", str(folder / "hosts.toml"), "--work-dir", work_dir]
    return [*waiting_book(folder), *words, "--events", str(folder / "events"), "--json"]


@contextmanager
def at_a_terminal(argv: Sequence[str]) -> Iterator[pexpect.spawn[str]]:
    env = os.environ | {"PYTHONPATH": str(REPOSITORY), "NO_COLOR": "1"}
    child = pexpect.spawn(argv[0], list(argv[1:]), env=env, encoding="utf-8", timeout=30)
    child.delaybeforesend = None
    try:
        yield child
    finally:
        child.close(force=True)


def test_a_password_typed_at_a_terminal_is_seen_nowhere(
    server: Sshd, careful: Account, work_dir: str, tmp_path: Path
) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    with at_a_terminal(command_line(server, careful.name, tmp_path, work_dir)) as child:
        child.expect_exact("sudo password on box: ")
        child.waitnoecho()
        child.sendline(careful.password)
        until(lambda: (tmp_path / "waiting").exists())
        seen = secrets_in_sight(careful.password)
        hold.unlink()
        child.expect(pexpect.EOF)
        said = child.before or ""
        child.wait()
    assert seen == []
    assert child.exitstatus == 0, said
    assert '"changed": 2' in said
    assert careful.password not in said
    assert careful.password not in (tmp_path / "events").read_text()
    assert [
        p for p in Path(work_dir).rglob("*") if p.is_file() and careful.password in p.read_text()
    ] == []


def secrets_in_sight(secret: str) -> list[str]:
    """Return where a secret can be read by looking at processes."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            for name in ("cmdline", "environ"):
                with suppress(OSError):  # it ended while we looked
                    if secret.encode() in (entry / name).read_bytes():
                        found.append(f"{entry}/{name}")
    return found


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_wrong_password_at_a_terminal_ends_it(
    server: Sshd, careful: Account, work_dir: str, tmp_path: Path
) -> None:
    with at_a_terminal(command_line(server, careful.name, tmp_path, work_dir)) as child:
        child.expect_exact("sudo password on box: ")
        child.waitnoecho()
        wrong = secrets.token_hex(8)
        child.sendline(wrong)
        child.expect(pexpect.EOF)
        child.wait()
    assert child.exitstatus == 3
    assert "sudo does not accept the password" in (child.before or "")
    assert wrong not in (child.before or "") + (tmp_path / "events").read_text()


def test_no_password_at_all_is_said(
    server: Sshd, careful: Account, work_dir: str, tmp_path: Path
) -> None:
    with at_a_terminal(command_line(server, careful.name, tmp_path, work_dir)) as child:
        child.expect_exact("sudo password on box: ")
        child.waitnoecho()
        child.sendeof()
        child.expect_exact("sudo wants a password and none was typed")
        child.expect(pexpect.EOF)
        child.wait()
    assert child.exitstatus == 3
    assert "Traceback" not in (child.before or "")


def test_an_interrupt_at_the_prompt_ends_it_and_leaves_the_terminal_as_it_was(
    server: Sshd, careful: Account, work_dir: str, tmp_path: Path
) -> None:
    with at_a_terminal(command_line(server, careful.name, tmp_path, work_dir)) as child:
        child.expect_exact("sudo password on box: ")
        child.waitnoecho()
        child.sendintr()
        # A keeper of the terminal, so that its state can still be seen at the end.
        child.expect_exact("interrupted")
        assert child.getecho()
        child.expect(pexpect.EOF)
        child.wait()
    assert child.exitstatus == 130
