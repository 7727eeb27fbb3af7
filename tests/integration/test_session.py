"""Sessions on real hosts: this machine and sshd, as root and through sudo; and how they end."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from rootwright import session as sessions
from rootwright.errors import BusyError, HostError, PrivilegeError, StepError
from rootwright.hosts import Host, connect, ssh
from rootwright.inventory import HostSpec
from rootwright.resource import quote
from rootwright.secret import PASSWORD_VARIABLE
from rootwright.session import Session, SessionSpec
from tests.support.accounts import Account
from tests.support.controller import start
from tests.support.delay_proxy import DelayProxy
from tests.support.leftovers import SECONDS, Inside, await_nothing, remains
from tests.support.program import command_lines
from tests.support.root import SHELLS, need_shell
from tests.support.snapshot import snapshot
from tests.support.sshd import Sshd

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Way:
    """A way to be root on this machine.

    uid: who the controller is. proxy: what the connection goes through.
    """

    spec: HostSpec
    uid: int = 0
    proxy: DelayProxy | None = None


@pytest.fixture(params=["local", "local sudo", "ssh", "ssh sudo"])
def way(request: pytest.FixtureRequest, home: Path, work_dir: str) -> Iterator[Way]:
    with opened_way(request, request.param, home) as found:
        yield found


@pytest.fixture(params=["ssh", "ssh sudo"])
def far(request: pytest.FixtureRequest, home: Path, work_dir: str) -> Iterator[Way]:
    with opened_way(request, request.param, home) as found:
        yield found


@contextmanager
def opened_way(request: pytest.FixtureRequest, name: str, home: Path) -> Iterator[Way]:
    where, _, sudo = name.partition(" ")
    account: Account | None = request.getfixturevalue("builder") if sudo else None
    if where == "local":
        if account:
            yield Way(HostSpec("localhost", become="sudo"), account.uid)
        else:
            yield Way(HostSpec("localhost"))
        return
    server: Sshd = request.getfixturevalue("sshd")
    with DelayProxy(server.port) as proxy:
        (home / ".ssh/known_hosts").write_text(f"[{proxy.host}]:{proxy.port} {server.host_key}\n")
        user = account.name if account else "root"
        key = str(server.client_key)
        yield Way(HostSpec("box", "127.0.0.1", proxy.port, user, key), 0, proxy)


@pytest.fixture
def local(home: Path, work_dir: str) -> Way:
    return Way(HostSpec("localhost"))


@pytest.fixture(scope="session")
def package() -> Iterator[Path]:
    """A copy of Rootwright that every user can read."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    shutil.copytree(REPOSITORY / "rootwright", folder / "rootwright")
    yield folder
    shutil.rmtree(folder)


@contextmanager
def on(way: Way) -> Iterator[Host]:
    host = connect(way.spec, ask=lambda _: pytest.fail("a password was asked for"))
    try:
        yield host
    finally:
        host.close()


@contextmanager
def opened(
    way: Way, work_dir: str, *, check: bool = False, facts: Sequence[tuple[str, str]] = ()
) -> Iterator[Session]:
    spec = SessionSpec(folder=f"{work_dir}/book", who="the tests", check=check, facts=facts)
    with on(way) as host, Session(host, spec) as session:
        yield session


# --- what a session is


def test_a_session_is_roots_alone_with_its_own_processes_and_mounts(
    way: Way, work_dir: str
) -> None:
    with opened(way, work_dir, facts=[("arch", "uname -m"), ("none", "false")]) as session:
        reply = session.request(
            "id -u; stty size; ls -d /proc/[0-9]* | wc -l; "
            'grep SigIgn /proc/self/status; mount -t tmpfs none "$rw_dir"; '
            'touch "$rw_dir/hidden"; readlink /proc/self/fd/9; exit 42'
        )
        uid, stty, processes, signals, *rest = reply.output.splitlines()
        assert reply.status == 42
        assert uid == "0"
        assert stty == "24 200"
        assert int(processes) < 10
        # Hang-ups and broken pipes are not ignored, whatever Python and nohup do.
        assert int(signals.split()[1], 16) & 0x1001 == 0
        assert rest == []  # the lock is out of reach
        assert not Path(work_dir, "book/hidden").exists()
        assert session.facts == {"arch": os.uname().machine, "none": ""}
        assert session.folder == f"{work_dir}/book"
        inside = Inside(f"{work_dir}/book")
        assert len(inside.processes()) == 1
    # Closing waits for the host: there is nothing to wait for any more.
    assert remains(f"{work_dir}/book", inside) == []
    assert sorted(p.name for p in Path(work_dir, "book").iterdir()) == ["lock"]


def test_a_request_is_one_round_trip(far: Way, work_dir: str) -> None:
    assert far.proxy
    with opened(far, work_dir) as session:
        connections = far.proxy.counts().connections

        def deafen(kind: str, _: str) -> None:
            # The host has begun to answer: from now on it hears nothing more of us.
            assert far.proxy
            if kind == "one":
                far.proxy.stall("up")

        for count in range(1, 4):
            reply = session.request(
                "rw_say one 1; sleep 0.2; echo out; rw_say two 2; exit 5", on_record=deafen
            )
            far.proxy.resume()
            assert (reply.status, reply.output) == (5, "out")
            assert reply.records == [("one", "1"), ("two", "2")]
            assert session.round_trips == count
        assert far.proxy.counts().connections == connections


def test_megabytes_travel_both_ways_unharmed(way: Way, work_dir: str) -> None:
    noise = secrets.token_bytes(3 << 20)
    text = base64.b64encode(noise).decode()
    with opened(way, work_dir) as session:
        reply = session.request(
            f'rw_blob={text}\nprintf %s "$rw_blob" | base64 -d | sha256sum\n'
            'rw_say size ${#rw_blob}; rw_say back "$rw_blob"'
        )
        assert reply.output == f"{hashlib.sha256(noise).hexdigest()}  -"
        assert reply.records == [("size", str(len(text))), ("back", text)]
        assert session.request("echo still here").output == "still here"


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_any_sh_of_the_host_will_do(
    shell: tuple[str, ...],
    local: Way,
    work_dir: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "sh").symlink_to(shutil.which(need_shell(shell)[0]) or "")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    large = "x" * 100_000
    with opened(local, work_dir) as session:
        for _ in range(2):
            reply = session.request(f"rw_large={large}\nrw_say size ${{#rw_large}}")
            assert reply.records == [("size", "100000")]
            # A line that nobody reads then stands before the next request.
            ask = "printf 'sure? '; read -r rw_answer; rw_say heard $rw_answer"
            reply = session.request(ask, answers=[("sure", "yes\nvery")])
            assert reply.records == [("heard", "yes")]


def test_binary_output_is_shown_harmless_and_frames_survive_it(way: Way, work_dir: str) -> None:
    with opened(way, work_dir) as session:
        reply = session.request("head -c 200000 /dev/urandom; printf '\\036'; rw_say one 1")
        assert reply.records == [("one", "1")]
        assert session.request("printf 'a\\tb\\033[31mc\\033[0m\\n'").output == "a\tbc"


def test_words_arrive_literally(way: Way, work_dir: str) -> None:
    hostile = "a'b\"c$(id)`id`\\ \n-n %s \t\x01\x04\x03\x1a\x7f é \udcff\udc80 *?[x] !$"
    with opened(way, work_dir) as session:
        reply = session.request(f'rw_say got "$({quote("printf", "%s", hostile)} | rw_encoded)"')
    (got,) = [payload for kind, payload in reply.records if kind == "got"]
    assert base64.b64decode(got) == hostile.encode("utf-8", "surrogateescape")


def test_a_dialogue_is_held_on_the_terminal(way: Way, work_dir: str) -> None:
    script = r"""
    printf 'Name? '; read -r name
    stty echo; printf 'Password for %s: ' "$name"; stty -echo; read -r secret; stty echo; echo
    [ -t 0 ] && [ "$secret" = 's3 cret' ] && echo "hello $name"
    """
    with opened(way, work_dir) as session:
        reply = session.request(
            script, answers=[(r"Name\? ", "bob"), (r"Password for \w+: ", "s3 cret")]
        )
        assert reply.status == 0
        assert reply.output.splitlines()[-1] == "hello bob"
        # What a program did to the terminal does not reach the next request.
        assert session.request("stty sane; printf 'x\\n'").status == 0
        assert session.request(f"echo {'y' * 9000} | wc -c").output == "9001"


def test_an_unknown_question_names_itself_and_is_left_unanswered(
    way: Way, work_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "DIALOGUE_SILENCE", 0.3)
    said = Path(work_dir).with_name("said")
    with opened(way, work_dir) as session:
        inside = Inside(f"{work_dir}/book")
        with pytest.raises(StepError, match="nobody told us") as caught:
            session.request(
                f"printf ':: Erase everything? [Y/n] '; read -r a; echo \"$a\" >{said}; sleep 300",
                answers=[("Name", "bob")],
            )
        assert caught.value.output == ":: Erase everything? [Y/n] "
    await_nothing(f"{work_dir}/book", inside)
    assert not said.exists() or not said.read_text().strip()


def test_output_is_told_while_it_comes(way: Way, work_dir: str) -> None:
    heard: list[str] = []
    stop = Path(work_dir).with_name("stop")

    def hear(line: str) -> None:
        heard.append(line)
        stop.touch()

    with opened(way, work_dir) as session:
        reply = session.request(
            f"printf 'first\\r'; until [ -e {stop} ]; do sleep 0.05; done; echo last",
            on_output=hear,
        )
    assert heard == ["first", "last"]
    assert reply.output == "last"


# --- what it refuses


def test_a_held_root_says_by_whom_and_since_when(local: Way, work_dir: str) -> None:
    with opened(local, work_dir) as first:
        with pytest.raises(BusyError) as caught, opened(local, work_dir):
            pass
        year = time.strftime("%Y-")
        assert f"by another play: the tests since {year}" in caught.value.what
        assert caught.value.exit_code == 3
        assert "--work-dir" in caught.value.hint
        assert first.request("true").status == 0
    with opened(local, work_dir):
        pass


@pytest.mark.parametrize("kind", ["not empty", "a file", "somebody's", "a link for a lock"])
def test_a_folder_that_is_not_ours_is_refused_and_left_alone(
    way: Way, work_dir: str, kind: str
) -> None:
    folder = Path(work_dir, "book")
    victim = Path(work_dir, "victim")
    folder.parent.mkdir()
    victim.write_text("precious\n")
    if kind == "a file":
        folder.write_text("mine\n")
    else:
        folder.mkdir()
    if kind == "not empty":
        (folder / "thesis.part").write_text("mine\n")
    elif kind == "somebody's":
        os.chown(folder, 65534, 65534)
    elif kind == "a link for a lock":
        (folder / "lock").symlink_to(victim)
    before = snapshot(work_dir)
    with pytest.raises(PrivilegeError) as caught, opened(way, work_dir):
        pass
    assert str(folder) in caught.value.what
    assert "--work-dir" in caught.value.hint
    assert snapshot(work_dir) == before


def test_a_check_makes_nothing(way: Way, work_dir: str) -> None:
    above = str(Path(work_dir).parent)
    for _ in range(2):
        before = snapshot(above)
        with opened(way, work_dir, check=True) as session:
            assert session.request("echo looking").output == "looking"
        assert snapshot(above) == before
        with opened(way, work_dir):  # the second time there is something
            pass
        Path(work_dir, "book/tree").mkdir(exist_ok=True)


# --- how it ends


# It mounts, it has half a root, and one of its processes does not heed hang-ups.
BUSY = """
mkdir -p "$rw_dir/tree.part/rootfs/proc"
mount -t tmpfs none "$rw_dir/tree.part/rootfs"
mount --bind "$rw_dir" /mnt
mkdir "$rw_dir/tree.part/rootfs/half"
setsid sh -c 'trap "" HUP INT TERM; sleep 300; sleep 300' &
rw_say up
sleep 301
"""


def begin(way: Way, work_dir: str, package: Path) -> tuple[subprocess.Popen[str], Inside]:
    """Start a controller; return it and its session once that is in the middle of things."""
    controller = start(way.spec, f"{work_dir}/book", BUSY, uid=way.uid, package=package)
    assert controller.stdout
    assert controller.stderr
    if "up" not in controller.stdout.readline():
        raise AssertionError(controller.stderr.read())
    return controller, Inside(f"{work_dir}/book")


def finish(way: Way, work_dir: str, inside: Inside) -> None:
    """Check that nothing is left and that the next session opens."""
    await_nothing(f"{work_dir}/book", inside)
    assert sorted(p.name for p in Path(work_dir, "book").iterdir()) == ["lock"]
    with opened(way, work_dir) as session:
        assert session.request("exit 7").status == 7


def test_nothing_is_left_when_the_controller_is_killed(
    way: Way, work_dir: str, package: Path
) -> None:
    controller, inside = begin(way, work_dir, package)
    assert len(remains(f"{work_dir}/book", inside)) >= 5
    controller.kill()
    controller.communicate()
    finish(way, work_dir, inside)


@pytest.mark.parametrize("name", ["local", "ssh sudo"])
@pytest.mark.parametrize("victim", ["keeper", "unshare"])
def test_nothing_is_left_when_the_hosts_side_is_killed(
    request: pytest.FixtureRequest, home: Path, work_dir: str, package: Path, name: str, victim: str
) -> None:
    with opened_way(request, name, home) as way:
        controller, inside = begin(way, work_dir, package)
        os.kill(inside.keeper if victim == "keeper" else inside.unshare, signal.SIGKILL)
        said, errors = controller.communicate(timeout=20)
        assert "the session ended in the middle of a request" in errors, (
            controller.returncode,
            said,
        )
        if victim == "keeper":
            assert only_files_are_left(f"{work_dir}/book", inside)
            # Who is killed cannot sweep; who comes next does.
            with opened(way, work_dir):
                pass
        finish(way, work_dir, inside)


def only_files_are_left(folder: str, inside: Inside) -> bool:
    end = time.monotonic() + SECONDS
    while len(left := remains(folder, inside)) > 2:
        assert time.monotonic() < end, left
        time.sleep(0.05)
    return left[0].endswith("/tree.part") and left[1].startswith("the lock still says")


def test_nothing_is_left_when_the_connection_is_cut(far: Way, work_dir: str) -> None:
    assert far.proxy
    cut = far.proxy.cut
    inside = break_off(far, work_dir, cut, "the session ended in the middle of a request")
    finish(far, work_dir, inside)


def test_nothing_is_left_when_the_server_dies(far: Way, work_dir: str, sshd: Sshd) -> None:
    inside = break_off(far, work_dir, sshd.kill_sessions, "in the middle of a request")
    finish(far, work_dir, inside)


def break_off(way: Way, work_dir: str, how: Callable[[], object], error: str) -> Inside:
    """Have something happen in the middle of a request; return the session."""
    found = []

    def act(*_: str) -> None:
        found.append(Inside(f"{work_dir}/book"))
        how()

    with opened(way, work_dir) as session:
        with pytest.raises(HostError, match=error) as caught:
            session.request(BUSY, on_record=act)
        assert caught.value.exit_code == 3
        assert caught.value.hint
    return found[0]


def test_a_host_that_falls_silent_is_noticed(
    far: Way, work_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ssh.KEEPALIVE + ssh.KEEPALIVE_PATIENCE <= 45
    monkeypatch.setattr(ssh, "KEEPALIVE", 0.2)
    monkeypatch.setattr(ssh, "KEEPALIVE_PATIENCE", 1)
    monkeypatch.setattr(ssh, "HOST_PATIENCE", 2)
    assert far.proxy
    proxy = far.proxy

    def fall_silent() -> None:
        time.sleep(1)  # until the host has heard that it is to listen
        proxy.stall()

    inside = break_off(far, work_dir, fall_silent, "has not answered for 1 seconds")
    # Nothing tells the host that we gave up but our silence.
    await_nothing(f"{work_dir}/book", inside)
    proxy.resume()
    finish(far, work_dir, inside)


def test_a_busy_host_that_prints_nothing_is_not_taken_for_silent(
    far: Way, work_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "KEEPALIVE", 0.1)
    monkeypatch.setattr(ssh, "KEEPALIVE_PATIENCE", 2)
    with opened(far, work_dir) as session:
        assert session.request("sleep 4").status == 0


def test_hanging_up_from_another_thread_ends_all(way: Way, work_dir: str) -> None:
    found = []

    def act(*_: str) -> None:
        found.append(Inside(f"{work_dir}/book"))
        threading.Thread(target=host.hang_up).start()

    spec = SessionSpec(folder=f"{work_dir}/book", who="the tests")
    with on(way) as host:
        with Session(host, spec) as session, pytest.raises(HostError):
            session.request(BUSY, on_record=act)
        with pytest.raises(HostError):
            Session(host, spec)
    finish(way, work_dir, found[0])


def test_a_user_who_cannot_signal_sudo_can_still_end_it(
    builder: Account, home: Path, work_dir: str, package: Path
) -> None:
    way = Way(HostSpec("localhost", become="sudo"), builder.uid)
    controller, inside = begin(way, work_dir, package)
    controller.send_signal(signal.SIGINT)  # KeyboardInterrupt leaves through the `with` block
    controller.communicate(timeout=20)
    assert controller.returncode
    finish(way, work_dir, inside)


def test_a_session_ends_with_its_terminal_even_under_nohup(
    home: Path, work_dir: str, package: Path
) -> None:
    way = Way(HostSpec("localhost"))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what nohup does
    try:
        controller, inside = begin(way, work_dir, package)
    finally:
        signal.signal(signal.SIGHUP, before)
    controller.kill()
    controller.communicate()
    finish(way, work_dir, inside)


# --- streams


def test_a_stream_is_binary_and_says_how_it_ended(way: Way, work_dir: str) -> None:
    with on(way) as host:
        stream = host.stream(
            "head -c 5000000 /dev/zero; printf '\\377\\n'; cat; echo bad >&2; exit 3"
        )
        size, last = 0, b""
        while data := stream.read(1 << 16):
            size, last = size + len(data), data
        assert size == 5_000_002
        assert last.endswith(b"\xff\n")
        assert stream.finish() == (3, "bad\n")
        stream.close()


def test_a_stream_that_is_left_ends(way: Way, work_dir: str, tmp_path: Path) -> None:
    mark = secrets.token_hex(8)
    with on(way) as host:
        stream = host.stream(f"yes {mark}")
        assert stream.read(10)
        stream.close()
    end = time.monotonic() + 5
    while any(words.startswith(f"yes {mark}") for words in command_lines().values()):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_stream_whose_host_is_hung_up_on_is_lost(way: Way, work_dir: str) -> None:
    with on(way) as host:
        stream = host.stream("echo begun; sleep 5")
        assert stream.read(100) == b"begun\n"
        host.hang_up()
        assert stream.read(100) == b""
        assert stream.finish()[0] == -1


# --- secrets


def test_the_password_does_not_reach_the_host(
    local: Way, work_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = secrets.token_hex(16)
    monkeypatch.setenv(PASSWORD_VARIABLE, secret)
    with opened(local, work_dir) as session:
        reply = session.request('rw_say env "$({ env; cat /proc/[0-9]*/environ; } | rw_encoded)"')
        seen = base64.b64decode(reply.records[0][1])
        inside = Inside(f"{work_dir}/book")
        for pid in (inside.keeper, inside.unshare):
            seen += Path(f"/proc/{pid}/environ").read_bytes()
    with on(local) as host:
        stream = host.stream("env; cat /proc/$$/environ")
        while chunk := stream.read(1 << 16):
            seen += chunk
        stream.close()
    assert seen.count(b"PATH=") >= 5
    assert secret.encode() not in seen
