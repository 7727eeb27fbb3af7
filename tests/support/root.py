"""A root in a local folder, observed and converged by a plain sh: resources without a session.

It asks each resource in turn and believes nothing: after converging, a resource is looked at
again, and what still differs is a failure of the test.
"""

from __future__ import annotations

import base64
import importlib.resources
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from rootwright.errors import StepError
from rootwright.module import Module
from rootwright.resource import Change, Directory, File, Resource, State

SHELLS = (("dash",), ("bash",), ("busybox", "sh"))
"""Every sh that the vocabulary promises to run under."""


def need_shell(shell: tuple[str, ...]) -> tuple[str, ...]:
    """Return the shell, or skip the test that asked for it."""
    if not shutil.which(shell[0]):
        pytest.skip(f"{shell[0]} is not installed")
    return shell


def tar_digest(folder: Path, epoch: str) -> str:
    """Return the digest of a folder as an image would have it, dates up to the epoch."""
    tar = ["tar", "--sort=name", f"--mtime=@{epoch}", "--clamp-mtime", "--numeric-owner"]
    tar += ["--xattrs", "--xattrs-include=*", "--acls", "--pax-option=delete=atime,delete=ctime"]
    words = " ".join(map(shlex.quote, [*tar, "-C", str(folder), "-c", "."]))
    script = f"set -o pipefail; {words} | sha256sum"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.split()[0]


@dataclass(frozen=True)
class Root:
    """A root, laid out as a play lays it out: ``folder/tree/rootfs`` and its state beside it.

    scope: ``root``, or ``host`` for the machine's own ``/``.
    epoch: SOURCE_DATE_EPOCH as the user would have set it.
    """

    folder: Path
    shell: tuple[str, ...] = ("dash",)
    scope: str = "root"
    epoch: str = ""

    @classmethod
    def make(cls, folder: Path, shell: tuple[str, ...] = ("dash",)) -> Root:
        """Return an empty root below a folder."""
        (folder / "tree" / "rootfs").mkdir(parents=True)
        return cls(folder, shell)

    @property
    def path(self) -> Path:
        """The root's folder."""
        return self.folder / "tree" / "rootfs"

    @property
    def state(self) -> Path:
        """The folder that holds stamps, the epoch and device records."""
        return self.folder / "tree"

    def run(self, script: str) -> subprocess.CompletedProcess[bytes]:
        """Run sh that knows the vocabulary, as a session would: decoded, then evaluated."""
        prelude = importlib.resources.files("rootwright").joinpath("prelude.sh").read_text()
        body = f"rw_dir={self.folder} rw_given_epoch={self.epoch}\n{prelude}\nrw_use {self.scope}\n"
        encoded = base64.b64encode((body + script).encode("utf-8", "surrogateescape")).decode()
        # Not as an argument (which has a limit), nor on standard input (which programs read).
        file = self.folder / ".script"
        file.write_text(
            f"rw_request=$(base64 -d <<'EOF'\n{encoded}\nEOF\n)\neval \"$rw_request\"\n"
        )
        return subprocess.run(
            [*self.shell, str(file)], capture_output=True, check=False, stdin=subprocess.DEVNULL
        )

    def probe(self, resources: Iterable[Resource]) -> list[State]:
        """Return what each resource's probe says."""
        wanted = list(resources)
        script = "\n".join(f"{{ {r.probe()}\n}} 2>/dev/null\necho" for r in wanted)
        done = self.run(script)
        lines = done.stdout.decode("ascii").split("\n")
        assert lines.pop() == "", done
        assert len(lines) == len(wanted), done
        return [State.parse(line) for line in lines]

    def observe(self, resources: Iterable[Resource]) -> list[Change | None]:
        """Return what differs from what each resource wants."""
        wanted = list(resources)
        return [r.compare(s) for r, s in zip(wanted, self.probe(wanted), strict=True)]

    def force(self, resources: Iterable[Resource]) -> list[tuple[int, State]]:
        """Converge each resource, needed or not, in one process; return status and state after."""
        script = "".join(
            f"(\nset -e\n{r.converge()}\n) >/dev/null 2>&1\nprintf '%s\\n' $?\n"
            f"{{ {r.probe()}\n}} 2>/dev/null\necho\n"
            for r in resources
        )
        lines = self.run(script).stdout.decode("ascii").splitlines()
        return [(int(lines[i]), State.parse(lines[i + 1])) for i in range(0, len(lines), 2)]

    def converge(self, what: Module | Iterable[Resource]) -> list[Change]:
        """Make each resource's state in turn; return what changed.

        Raises StepError, with what the tools printed, where a resource could not be made, or is
        not what was asked for afterwards.
        """
        changes = []
        for resource in what.resources() if isinstance(what, Module) else what:
            (change,) = self.observe([resource])
            if change is None:
                continue
            done = self.run(f"(\nset -e\n{resource.converge()}\n)\nexit $?")
            said = (done.stdout + done.stderr).decode(errors="backslashreplace")
            if done.returncode != 0:
                raise StepError(f"{resource.label} failed", output=said)
            (left,) = self.observe([resource])
            if left:
                raise StepError(f"{resource.label} did not converge: {left}", output=said)
            changes.append(change)
        return changes


def own_file(path: str, content: str | bytes = "x\n", mode: int | None = 0o644) -> File:
    """Return a file that belongs to whoever runs the tests."""
    return File(path, content, mode, os.getuid(), os.getgid())


def own_directory(path: str, mode: int = 0o755) -> Directory:
    """Return a folder that belongs to whoever runs the tests."""
    return Directory(path, mode, os.getuid(), os.getgid())
