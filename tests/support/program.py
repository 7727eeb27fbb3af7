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
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tests.support.apt_archive import AptArchive
from tests.support.leftovers import remains

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = (sys.executable, str(REPOSITORY / "tasks.py"))
SECONDS = 180.0
"""In which a run must end, however busy the machine is."""

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

    def until(self, event: str, **fields: object) -> dict[str, Any]:
        """Wait for an event that has these fields, and return it."""
        for line in self._events:
            told: dict[str, Any] = json.loads(line)
            if told["event"] == event and fields.items() <= told.items():
                return told
        raise AssertionError(f"it ended before {event}: {self.end()}")

    def end(self) -> Ended:
        """Wait for the end of the run."""
        try:
            code = self.process.wait(SECONDS)
        finally:
            self.process.kill()
            self._events.close()
        texts = {}
        for name, file in self._said.items():
            with file:
                file.seek(0)
                texts[name] = file.read()
        return Ended(code, texts["stdout"], texts["stderr"])


@dataclass
class Place:
    """A place to run the program in: a current folder, a home, a work dir, an engine, a mirror.

    folder: the current folder; ``home`` and ``work`` are made beside what the program makes there.
    archive: the mirror. docker: what DOCKER_HOST says. tag: the image's name.
    """

    folder: Path
    archive: AptArchive
    docker: str
    tag: str = "demo/debian:1"
    work_dir: str = ""
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.work_dir = self.work_dir or f"{self.folder}/work"
        self.home = self.folder / "home"
        (self.home / ".ssh").mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(_OF_THE_CALLER)}
        own = {"HOME": str(self.home), "DOCKER_HOST": self.docker, "LANG": "C.UTF-8"}
        self.env = kept | own | self.env

    @property
    def root(self) -> Path:
        """The folder of the playbook's root, on this machine."""
        return Path(self.work_dir, "debian")

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
            timeout=SECONDS,
            start_new_session=True,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def build_arguments(self, *more: str) -> list[str]:
        """Return the arguments that build from the archive into the engine, unless told otherwise."""
        usual = {
            "--suite": self.archive.suite,
            "--keyring": str(self.archive.keyring),
            "--mirror": self.archive.mirror,
            "--security-mirror": self.archive.security_mirror,
            "--work-dir": self.work_dir,
            "--tag": self.tag,
        }
        words = [word for pair in usual.items() if pair[0] not in more for word in pair]
        return ["build-debian", *words, *more]

    def build(self, *more: str, **env: str) -> Ended:
        """Build; env: further environment variables."""
        return self.run(*self.build_arguments(*more), **env)

    def start(self, *more: str, **env: str) -> Running:
        """Begin to build."""
        argv = [*PROGRAM, *self.build_arguments(*more)]
        return Running(argv, self.folder, self.env | env, self.home)

    def images(self) -> set[tuple[str, str]]:
        """Return all images of the engine, each with its names, the unnamed included."""
        return images(self.docker)

    def left(self) -> list[str]:
        """Return what is left of plays that are over, when there should be nothing."""
        mentioned = [
            f"process {pid}: {words}"
            for pid, words in command_lines().items()
            if self.work_dir in words and pid != os.getpid()
        ]
        return remains(str(self.root), "") + mentioned

    def await_nothing_left(self) -> None:
        """Wait until nothing is left. Raises AssertionError, saying what is, after five seconds."""
        end = time.monotonic() + 5
        while left := self.left():
            assert time.monotonic() < end, left
            time.sleep(0.05)


def command_lines() -> dict[int, str]:
    """Return the command line of every process."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended while we looked
                data = (entry / "cmdline").read_bytes()
                found[int(entry.name)] = data.replace(b"\0", b" ").decode(errors="replace")
    return found


def namespaces_below(pid: int) -> str:
    """Return the namespaces, other than ours, of a process's descendants, for `leftovers`."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = (entry / "stat").read_text(errors="replace").rpartition(") ")[2]
                parents.setdefault(int(stat.split()[1]), []).append(int(entry.name))
    queue, names = [pid], set()
    while queue:
        children = parents.get(queue.pop(), [])
        queue += children
        for child in children:
            with contextlib.suppress(OSError):
                names |= {
                    str(Path(f"/proc/{child}/ns/{kind}").readlink()) for kind in ("pid", "mnt")
                }
    return " ".join(
        names - {str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in ("pid", "mnt")}
    )


def images(url: str) -> set[tuple[str, str]]:
    """Return all images of an engine, each with its names, the unnamed included."""
    import docker

    with contextlib.closing(docker.APIClient(base_url=url, version="auto")) as client:
        found: list[dict[str, Any]] = client.images(all=True)
    return {
        (image["Id"], name) for image in found for name in image["RepoTags"] or ["<none>:<none>"]
    }
