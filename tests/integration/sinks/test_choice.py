"""Which sink it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from rootwright.errors import ShipError, UsageError
from rootwright.sinks import Sink, open_sink
from rootwright.sinks.archive import ArchiveSink
from tests.support.engine import Engine


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
