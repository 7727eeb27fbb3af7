"""What tests of several rooms share: a home and a work dir of their own, servers and users."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings

from rootwright.inventory import HostSpec
from rootwright.module import REGISTRY
from rootwright.sample_mirror import SampleMirror, build
from rootwright.secret import PASSWORD_VARIABLE
from tests.support.accounts import Account, Rights, account, lacks_accounts
from tests.support.apt_archive import AptArchive
from tests.support.arch import CACHE, lacks_arch_tools
from tests.support.docker_api import client_of
from tests.support.engine import Engine
from tests.support.needs import lacks_program, lacks_root, needs
from tests.support.program import Ended, Place
from tests.support.sshd import Sshd, lacks_sshd
from tests.support.tiny_debian import lacks_tiny_debian


def pytest_configure(config: pytest.Config) -> None:
    # Where these are exported, they say of every terminal what is true of the caller's.
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)
    # Everything on loopback is ours, whatever proxy leads to the world.
    for name in ("no_proxy", "NO_PROXY"):
        others = [os.environ[name]] if os.environ.get(name) else []
        os.environ[name] = ",".join(["127.0.0.1", "localhost", *others])
    # A busy machine may take its time over any example.
    settings.register_profile("busy", deadline=None)
    settings.load_profile("busy")
    # In the background, or under nohup, these are ignored, and what tests start would inherit that;
    # a handler it does not. Who only hands tests out to workers leaves them to inherit it.
    if hasattr(config, "workerinput") or config.getoption("dist", "no") == "no":
        for number in (signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) == signal.SIG_IGN:
                signal.signal(number, lambda *_: None)
    config.addinivalue_line("markers", "slow: waits for a time that cannot be made shorter")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home with an ``.ssh``, and nothing else that would say who we are."""
    folder = tmp_path / "home"
    (folder / ".ssh").mkdir(mode=0o700, parents=True)
    monkeypatch.setenv("HOME", str(folder))
    for name in ("SSH_AUTH_SOCK", PASSWORD_VARIABLE, "SOURCE_DATE_EPOCH"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def work_dir(tmp_path: Path) -> str:
    """A work dir that is not there yet, for sessions that are root on this machine."""
    needs(lacks_root())
    return str(tmp_path / "work")


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A server that lets every user in with `Sshd.client_key`."""
    needs(lacks_sshd(), lacks_root())
    with Sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def own_registry() -> Iterator[None]:
    """The modules of a test are nobody else's."""
    known = dict(REGISTRY)
    yield
    REGISTRY.clear()
    REGISTRY.update(known)


@pytest.fixture(params=["local", "ssh"])
def host(request: pytest.FixtureRequest, home: Path, work_dir: str) -> HostSpec:
    """This machine, as itself and over SSH."""
    if request.param == "local":
        return HostSpec("localhost")
    server: Sshd = request.getfixturevalue("sshd")
    (home / ".ssh/known_hosts").write_text(server.known_hosts_line())
    return HostSpec("box", server.host, server.port, "root", str(server.client_key))


@pytest.fixture
def local(home: Path, work_dir: str) -> HostSpec:
    """This machine."""
    return HostSpec("localhost")


def _account(rights: Rights) -> Iterator[Account]:
    needs(lacks_accounts())
    with account(rights, defaults="timestamp_timeout=0") as made:
        yield made


@pytest.fixture(scope="session")
def builder() -> Iterator[Account]:
    """A user whose sudo asks for nothing."""
    yield from _account("passwordless")


@pytest.fixture(scope="session")
def careful() -> Iterator[Account]:
    """A user whose sudo asks for a password, every time."""
    yield from _account("password")


@pytest.fixture(scope="session")
def guest() -> Iterator[Account]:
    """A user who may not use sudo."""
    yield from _account("none")


# --- the whole program


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AptArchive]:
    """A small Debian; a test that breaks it mends it."""
    needs(lacks_root(), lacks_program("gpg", "gnupg"), lacks_program("mmdebstrap", "mmdebstrap"))
    needs(lacks_tiny_debian())
    with AptArchive(tmp_path_factory.mktemp("archive")) as served:
        yield served


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """XDG_CACHE_HOME, where all workers have their sample mirrors. Leave them as they are."""
    mine = tmp_path_factory.getbasetemp()
    return (mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine) / "samples"


@pytest.fixture(scope="session")
def sample(samples: Path) -> SampleMirror:
    """The sample mirror, as `--mirror sample` has it."""
    needs(lacks_arch_tools())
    return build(samples / CACHE)


@pytest.fixture(scope="session")
def dockerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine that several tests use: each has a name of its own for its images."""
    needs(Engine.lack())
    with Engine(tmp_path_factory.mktemp("dockerd")) as started:
        yield started


@pytest.fixture
def place(tmp_path: Path, archive: AptArchive, dockerd: Engine) -> Place:
    """A place to run the program in where nothing was built yet."""
    return Place(tmp_path, archive, dockerd.url, f"demo/{secrets.token_hex(6)}:1")


@pytest.fixture(scope="session")
def first_build(
    tmp_path_factory: pytest.TempPathFactory, archive: AptArchive, dockerd: Engine
) -> tuple[Place, Ended]:
    """A place where an image was built, and how that went. Leave it converged."""
    built = Place(tmp_path_factory.mktemp("built"), archive, dockerd.url, "demo/built:1")
    ended = built.build("--json")
    assert ended.code == 0, ended.stderr
    return built, ended


@pytest.fixture
def built(first_build: tuple[Place, Ended]) -> Place:
    """A place where an image was built. Leave it converged."""
    return first_build[0]


@pytest.fixture
def moving(built: Place, dockerd: Engine) -> Iterator[Place]:
    """A converged root whose image is to take a name over from another one, and must not yet."""
    with client_of(built.docker) as client:
        client.import_image_from_data(bytes(10240), repository="demo/moving", tag="1")
    # Another date makes it an image that the engine does not have.
    place = replace(built, tag="demo/moving:1", env={"SOURCE_DATE_EPOCH": "1600000000"})
    before = place.images()
    yield place
    assert place.images() == before
    assert place.left() == []
    # The next run completes, and moves the name.
    ended = place.build("--json")
    assert (ended.code, ended.host["changed"], ended.host["image"]["state"]) == (0, 0, "changed")
    changes = before ^ place.images()
    assert (ended.host["image"]["id"], place.tag) in changes
    with client_of(built.docker) as client:
        for id in {id for id, _ in changes}:
            client.remove_image(id)
