"""Engines that are real, dockerd and Podman, and a root to ship."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rootwright.layer_stream import CHUNK
from tests.support.engine import Engine
from tests.support.shipping import DOCKERD, STORES, clear


@pytest.fixture(scope="package")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if lack := Engine.lack():
        pytest.skip(lack)
    with Engine(tmp_path_factory.mktemp("engine"), program=[DOCKERD]) as started:
        yield started


@pytest.fixture(scope="package")
def containerd_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine that names images by their manifest."""
    if lack := Engine.lack():
        pytest.skip(lack)
    folder = tmp_path_factory.mktemp("containerd")
    with Engine(folder, program=[DOCKERD], containerd_store=True) as started:
        yield started


@pytest.fixture(scope="package")
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


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root of some megabytes, so that it takes several pieces."""
    made = tmp_path / "root"
    (made / "etc").mkdir(parents=True)
    (made / "etc/hostname").write_text("demo\n")
    for number in range(6):
        (made / f"file{number}").write_bytes(os.urandom(CHUNK))
    return made
