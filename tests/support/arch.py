"""Playing on the sample mirror, and what came of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rootwright.inventory import Inventory
from rootwright.layer import digest_script
from rootwright.layer_stream import read_digest
from rootwright.module import Module
from rootwright.playbook import Playbook, Recipe
from rootwright.report import HostReport, Reporters
from rootwright.run import RunOptions, run
from rootwright.sample_mirror import SampleMirror, Server, serve
from rootwright.ship import layer_spec
from tests.support.program import Workplace
from tests.support.root import Root

CACHE = "rootwright/sample-mirror"
"""Where `--mirror sample` keeps its mirror, below XDG_CACHE_HOME."""

TOOLS = ("apt-get", "bsdtar", "gpg", "pacman", "pacstrap", "repo-add", "unshare", "zstd")
"""What the sample mirror is made with, and what installs from it."""

FACTS = {"os": "debian", "arch": "x86_64"}


def lacks_arch_tools() -> str:
    """Return why nothing can be built from the sample mirror here, empty where it can."""
    if os.geteuid() != 0:
        return "pacman installs into a root as root alone"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"missing: {', '.join(missing)}" if missing else ""


@dataclass
class ArchPlace(Workplace):
    """A place where the program builds Arch, from the sample mirror unless told else.

    cache: where that mirror is kept, as XDG_CACHE_HOME has it.
    """

    playbook = "arch"

    folder: Path
    cache: Path
    docker: str
    tag: str = "demo/arch:1"
    work_dir: str = ""
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.env["XDG_CACHE_HOME"] = str(self.cache)

    def source(self) -> dict[str, str]:
        return {"--mirror": "sample"}


NO_INVENTORY = Path("/nonexistent/hosts.toml")


class Silent(Reporters):
    """Tells nobody, and keeps what the programs said."""

    def __init__(self) -> None:
        super().__init__([])
        self.said: list[str] = []

    def output(self, _host: str, line: str) -> None:
        """Keep a line."""
        self.said.append(line)


@dataclass
class Played:
    """A play that has ended."""

    report: HostReport
    said: list[str]

    @property
    def changed(self) -> list[str]:
        """The modules that changed something."""
        return [module.name for module in self.report.modules if module.state == "changed"]

    @property
    def error(self) -> str:
        """What went wrong, in a sentence; empty when nothing did."""
        return self.report.error.what if self.report.error else ""


@dataclass(frozen=True)
class Bench:
    """A place where Arch-shaped roots are made from one mirror, by the real engine."""

    folder: Path
    mirror: SampleMirror
    server: Server
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, object]:
        """The options of playbook arch that make it build from this mirror."""
        return {
            "mirror": (self.server.url,),
            "keyring": str(self.mirror.keyring),
            **self.options,
        }

    def play(self, playbook: Playbook, name: str = "work", **given: object) -> Played:
        """Play on this machine, in the work dir of that name; ship nothing."""
        settings = playbook.settings([("the test", {**self.settings, **given})])
        return self._run(playbook, name, settings)

    def make(self, modules: Sequence[Module], name: str = "work") -> Played:
        """Play modules alone, on an image's root."""

        def recipe(_host: Mapping[str, str]) -> Recipe:
            return Recipe(root=modules)

        return self._run(Playbook("arch", "", "", {}, (), {}, recipe), name, {})

    def _run(self, playbook: Playbook, name: str, settings: Mapping[str, object]) -> Played:
        (spec,) = Inventory.load(None, default=NO_INVENTORY).select([])
        watch = Silent()
        options = RunOptions(ask=lambda _host: "", work_dir=str(self.folder / name))
        report = run(playbook, [(spec, settings)], options, watch)
        return Played(report.hosts[0], watch.said)

    def root(self, name: str = "work") -> Root:
        """Return the root that playbook arch made."""
        return Root(self.folder / name / "arch")

    def digest(self, playbook: Playbook, name: str = "work", **given: object) -> str:
        """Return the digest of the layer that the root would be."""
        settings = playbook.settings([("the test", {**self.settings, **given})])
        recipe = playbook.recipe(settings, FACTS)
        epoch = int((self.root(name).state / "epoch").read_text())
        spec = layer_spec(str(self.root(name).folder), recipe, epoch)
        done = subprocess.run(
            ["sh", "-c", digest_script(spec)], capture_output=True, text=True, check=True
        )
        return read_digest(done.stdout + done.stderr, "here").digest


@contextmanager
def bench(folder: Path, mirror: SampleMirror) -> Iterator[Bench]:
    """Serve a mirror while roots are made from it."""
    with serve(mirror.served) as server:
        yield Bench(folder, mirror, server)


def installed(root: Root) -> list[str]:
    """Return the names of the packages in a root, sorted."""
    local = root.path / "var/lib/pacman/local"
    return sorted(p.name.rsplit("-", 2)[0] for p in local.iterdir() if p.is_dir())


def inside(root: Root, script: str) -> str:
    """Run sh in a root, as modules do, and return what it printed; it must succeed."""
    quoted = script.replace("'", "'\\''")
    done = root.run(f"rw_inside '{quoted}' 2>&1 </dev/null\nexit $?")
    said = done.stdout.decode(errors="replace")
    assert done.returncode == 0, said + done.stderr.decode(errors="replace")
    return said


def tree(root: Path) -> dict[str, str]:
    """Return every path in a root with all of it that a layer holds but its time."""
    listing = subprocess.run(
        "find . -path ./proc -prune -o -path ./sys -prune -o "
        "-printf '%P %y %m %U:%G %l\\n' -type f -exec sha256sum {} +",
        shell=True,
        cwd=root,
        capture_output=True,
        check=True,
    ).stdout.decode(errors="surrogateescape")
    found: dict[str, str] = {}
    for line in listing.splitlines():
        first, _, rest = line.partition(" ")
        if len(first) == 64 and rest.startswith((" ", "*")):
            found[rest[1:].removeprefix("./") + " content"] = first
        else:
            found[first] = rest
    return found
