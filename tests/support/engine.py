"""A container engine of a test's own: a real dockerd with its own socket and data."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

_START_SECONDS = 60


class EngineError(Exception):
    """The engine did not start."""


class Engine:
    """A dockerd that keeps everything in one folder. Use it as a context manager.

    folder: where its data go; made when missing. options: further options for dockerd, such as
    ``--bridge=docker0``; containers have no network by default, so that neither a bridge nor
    iptables is needed. program: what to start instead of ``dockerd``.
    containerd_store: keep images in containerd's store (Docker 24 and later) instead of Docker's
    classic one.

    socket: the path of its Unix socket; url: the same as DOCKER_HOST has it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        options: Sequence[str] = ("--bridge=none", "--iptables=false", "--ip6tables=false"),
        program: Sequence[str] = ("dockerd",),
        containerd_store: bool = False,
    ) -> None:
        self.folder = folder
        self._containerd_store = containerd_store
        self.storage_driver = ""
        self._options = list(options)
        self._program = list(program)
        # A socket's path may have 107 characters; a test's own folder is often longer.
        self._short = Path(tempfile.mkdtemp(prefix="rw-engine-"))
        self.socket = self._short / "docker.sock"
        self.url = f"unix://{self.socket}"
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def lack() -> str:
        """Return why no engine can run here, nothing when one can."""
        if os.geteuid() != 0:
            return "a private dockerd needs root"
        missing = [tool for tool in ("dockerd", "unshare") if not shutil.which(tool)]
        return f"not installed: {', '.join(missing)}" if missing else ""

    def __enter__(self) -> Engine:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _config(self) -> Path:
        return self._short / "daemon.json"

    @property
    def log(self) -> Path:
        """What the engine says."""
        return self.folder / "dockerd.log"

    def start(self) -> None:
        """Start it and wait until it answers; EngineError when it does not."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # Said outright, since from Docker 29 on the containerd store is the default.
        features = {"features": {"containerd-snapshotter": self._containerd_store}}
        self._config.write_text(json.dumps(features))
        drivers = ["overlayfs", "native"] if self._containerd_store else ["overlay2", "vfs"]
        tried = [self.storage_driver] if self.storage_driver else drivers
        for driver in tried:
            self._spawn(driver)
            if self._wait():
                self.storage_driver = driver
                return
            self.kill()
        raise EngineError(self.log.read_text(errors="replace")[-4000:])

    def _spawn(self, driver: str) -> None:
        (self._short / "docker.pid").unlink(missing_ok=True)
        self.socket.unlink(missing_ok=True)
        command = [
            # A mount namespace of its own: what it mounts is gone when it is, kill -9 included.
            *("unshare", "--mount", "--propagation", "private"),
            *self._program,
            f"--data-root={self.folder / 'data'}",
            f"--exec-root={self._short / 'exec'}",
            f"--pidfile={self._short / 'docker.pid'}",
            f"--host={self.url}",
            f"--config-file={self._config}",
            f"--storage-driver={driver}",
            *self._options,
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _wait(self) -> bool:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process and self._process.poll() is None:
            if self.answers():
                return True
            time.sleep(0.1)
        return False

    def answers(self) -> bool:
        """Return whether it takes requests."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            try:
                connection.connect(str(self.socket))
                connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
                return b" 200 " in connection.recv(64)
            except OSError:
                return False

    @property
    def pid(self) -> int:
        """The process id of the dockerd that runs."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End it as a crash would, and its containerd with it."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in good order."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Start it again after `kill` or `stop`, with the same data."""
        if self._process is not None:
            self.stop()
        self.start()

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        containerd = self._short / "exec/containerd/containerd.pid"
        child = int(containerd.read_text()) if containerd.exists() else 0
        self._process.send_signal(how)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        if child and how == signal.SIGKILL:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        # A dead containerd that nobody has reaped yet looks alive to the next dockerd.
        containerd.unlink(missing_ok=True)

    def close(self) -> None:
        """End it and remove its data."""
        self.stop()
        for folder in (self._short, self.folder / "data"):
            shutil.rmtree(folder, ignore_errors=True)
