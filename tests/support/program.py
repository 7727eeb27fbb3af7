"""The program as a person runs it: processes of its own, in a folder and a home of its own.

place = Place(tmp_path, archive, engine.url)
ended = place.build("--json")
assert (ended.code, ended.host["changed"]) == (0, 8)
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, ClassVar

from tests.support.apt_archive import AptArchive
from tests.support.docker_api import images
from tests.support.leftovers import SECONDS, remains
from tests.support.sshd import Sshd

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = (sys.executable, str(REPOSITORY / "tasks.py"))
PATIENCE = 180.0
"""Seconds in which a run must end, however busy the machine is."""

Family = frozenset[tuple[int, str]]
"""Processes: their numbers, and when each began."""

_OF_THE_CALLER = ("DOCKER_", "ROOTWRIGHT_", "SOURCE_DATE_EPOCH", "SSH_", "NO_COLOR", "LC_", "LANG")


@dataclass(frozen=True)
class Ended:
    """What became of one run."""

    code: int
    stdout: str
    stderr: str

    @property
    def report(self) -> dict[str, Any]:
        """The report of ``--json``, which is all there is on stdout."""
        found: dict[str, Any] = json.loads(self.stdout)
        return found

    @property
    def host(self) -> dict[str, Any]:
        """The one host of the report."""
        (host,) = self.report["hosts"]
        found: dict[str, Any] = host
        return found

    def modules(self, state: str) -> list[str]:
        """Return the modules that the report has in a state."""
        return [module["name"] for module in self.host["modules"] if module["state"] == state]


class Running:
    """A run that goes on, watched through its events."""

    def __init__(
        self, argv: Sequence[str], folder: Path, env: Mapping[str, str], scratch: Path
    ) -> None:
        self._said = {name: (scratch / name).open("w+") for name in ("stdout", "stderr")}
        reader, writer = os.pipe()
        # Large enough that the program never waits for us.
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 1 << 20)
        self._events: IO[str] = os.fdopen(reader)
        self.process = subprocess.Popen(
            [*argv, "--events", f"/dev/fd/{writer}"],
            cwd=folder,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=self._said["stdout"],
            stderr=self._said["stderr"],
            pass_fds=[writer],
            start_new_session=True,
        )
        os.close(writer)
        self._watch = threading.Timer(PATIENCE, self.process.kill)
        self._watch.daemon = True
        self._watch.start()

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield events as they come, until the run ends."""
        for line in self._events:
            if line.endswith("\n"):  # or it was killed in the middle of one
                told: dict[str, Any] = json.loads(line)
                yield told

    def until(self, event: str, **fields: object) -> dict[str, Any]:
        """Wait for an event that has these fields, and return it."""
        for told in self.events():
            if told["event"] == event and fields.items() <= told.items():
                return told
        raise AssertionError(f"it ended before {event}: {self.end()}")

    def end(self, patience: float = PATIENCE) -> Ended:
        """Wait so many seconds for the end of the run."""
        try:
            code = self.process.wait(patience)
        finally:
            self._watch.cancel()
            self.process.kill()
            self._events.close()
        texts = {}
        for name, file in self._said.items():
            with file:
                file.seek(0)
                texts[name] = file.read()
        return Ended(code, texts["stdout"], texts["stderr"])


class Workplace(ABC):
    """A place to run the program in: a current folder, a home, a work dir, an engine.

    folder: the current folder; ``home`` and ``work`` are made beside what the program makes there.
    docker: what DOCKER_HOST says. tag: the image's name. playbook: what is built there.
    """

    playbook: ClassVar[str]
    folder: Path
    docker: str
    tag: str
    work_dir: str
    env: dict[str, str]

    def __post_init__(self) -> None:
        self.work_dir = self.work_dir or f"{self.folder}/work"
        self.home = self.folder / "home"
        (self.home / ".ssh").mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(_OF_THE_CALLER)}
        own = {"HOME": str(self.home), "DOCKER_HOST": self.docker, "LANG": "C.UTF-8"}
        self.env = kept | own | self.env

    @abstractmethod
    def source(self) -> dict[str, str]:
        """Return the options that say where packages come from."""

    @property
    def root(self) -> Path:
        """The folder of the playbook's root, on this machine."""
        return Path(self.work_dir, self.playbook)

    def listing(self, folder: str = ".") -> list[str]:
        """Return the names in a folder below the playbook's root, sorted."""
        return sorted(path.name for path in (self.root / folder).iterdir())

    @property
    def rootfs(self) -> Path:
        """The root."""
        return self.root / "tree/rootfs"

    def run(self, *arguments: str, program: Sequence[str] = PROGRAM, **env: str) -> Ended:
        """Run the program to its end; env: further environment variables."""
        done = subprocess.run(
            [*program, *arguments],
            cwd=self.folder,
            env=self.env | env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            start_new_session=True,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def build_arguments(self, *more: str) -> list[str]:
        """Return the arguments of a build from the source into the engine, unless told else."""
        usual = {**self.source(), "--work-dir": self.work_dir, "--tag": self.tag}
        words = [word for pair in usual.items() if pair[0] not in more for word in pair]
        return [f"build-{self.playbook}", *words, *more]

    def build(self, *more: str, **env: str) -> Ended:
        """Build; env: further environment variables."""
        return self.run(*self.build_arguments(*more), **env)

    def start(self, *more: str, **env: str) -> Running:
        """Begin to build."""
        argv = [*PROGRAM, *self.build_arguments(*more)]
        return Running(argv, self.folder, self.env | env, self.home)

    def over_ssh(self, server: Sshd, port: int = 0, user: str = "root") -> tuple[str, ...]:
        """Return options that name this machine as a host, ``far``, that is reached over SSH.

        port: where the server is reached; its own unless told.
        """
        port = port or server.port
        inventory = self.home / f"{user}-{port}.toml"
        inventory.write_text(
            f'[hosts.far]\naddress = "{server.host}"\nport = {port}\n'
            f'user = "{user}"\nkey = "{server.client_key}"\n'
        )
        line = f"[{server.host}]:{port} {server.host_key}\n"
        (self.home / ".ssh/known_hosts").write_text(line)
        return ("--inventory", str(inventory), "--host", "far")

    def contained(self, *command: str, network: str = "none") -> str:
        """Run a command in a container of the image, on a terminal; return what it printed.

        Raises AssertionError unless it succeeds.
        """
        client = shutil.which("docker")
        assert client
        done = subprocess.run(
            [client, "run", "--rm", "--tty", "--network", network, self.tag, *command],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.replace("\r\n", "\n")

    def images(self) -> set[tuple[str, str]]:
        """Return all images of the engine, each with its names, the unnamed included."""
        return images(self.docker)

    def left(self, family: Family = frozenset()) -> list[str]:
        """Return what is left of plays that are over, when there should be nothing.

        family: processes that belonged to one.
        """
        left = [f"process {process[0]}" for process in sorted(family & set(_processes()))]
        left += [
            f"process {pid}: {words}"
            for pid, words in command_lines().items()
            if self.work_dir in words and pid != os.getpid()
        ]
        return left + remains(str(self.root))

    def await_nothing_left(self, family: Family = frozenset()) -> None:
        """Wait until nothing is left. Raises AssertionError, saying what is, after five seconds."""
        end = time.monotonic() + SECONDS
        while left := self.left(family):
            assert time.monotonic() < end, left
            time.sleep(0.05)


@dataclass
class Place(Workplace):
    """A place where Debian is built.

    archive: the mirror.
    """

    playbook = "debian"

    folder: Path
    archive: AptArchive
    docker: str
    tag: str = "demo/debian:1"
    work_dir: str = ""
    env: dict[str, str] = field(default_factory=dict)

    def source(self) -> dict[str, str]:
        return {
            "--suite": self.archive.suite,
            "--keyring": str(self.archive.keyring),
            "--mirror": self.archive.mirror,
            "--security-mirror": self.archive.security_mirror,
        }


def refused(ended: Ended, code: int, *words: str) -> None:
    """Check that a run ended as it should: its exit code, words, a hint, no traceback."""
    said = ended.stderr
    assert ended.code == code, said
    assert "Traceback" not in said
    assert "hint:" in said, said
    for word in words:
        assert re.search(word, said), (word, said)


def command_lines() -> dict[int, str]:
    """Return the command line of every process."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended while we looked
                data = (entry / "cmdline").read_bytes()
                found[int(entry.name)] = data.replace(b"\0", b" ").decode(errors="replace")
    return found


def family(pid: int) -> Family:
    """Return the descendants of a process, whatever namespaces they are in."""
    parents = _processes()
    found: set[tuple[int, str]] = set()
    queue = [pid]
    while queue:
        parent = queue.pop()
        children = {process for process, of in parents.items() if of == parent} - found
        found |= children
        queue += [child for child, _ in children]
    return frozenset(found)


def _processes() -> dict[tuple[int, str], int]:
    """Return the parent of every process; a process is its number and when it began."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended while we looked
                fields = (entry / "stat").read_text(errors="replace").rpartition(") ")[2].split()
                if fields[0] != "Z":
                    found[int(entry.name), fields[19]] = int(fields[1])
    return found
