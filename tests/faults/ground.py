"""The ground that faults are thrown at: a mirror, a host, an engine, and ways and disks between.

All of it is real and belongs to one test worker. Every connection that can break leads through a
proxy, every disk that can fill up is a small one in memory, which makes builds quick besides.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.faults.orphans import adopted, bury
from tests.faults.schedule import Disk, Sink, Way
from tests.faults.site import TAG, Site
from tests.support.apt_archive import AptArchive
from tests.support.delay_proxy import DelayProxy
from tests.support.disk import small_disk
from tests.support.engine import Engine
from tests.support.program import Family, Place, Running, family
from tests.support.sshd import Sshd

VARIANTS: Mapping[str, Sequence[str]] = {
    "a": (),
    "b": ("--timezone", "Europe/Paris", "--image-mirror", "http://mirror.example.org/debian"),
}
"""Two sets of options whose images differ, made from one and the same bootstrap."""

_DISKS: Mapping[Disk, int] = {"work": 1000, "engine": 600, "dist": 300}
"""How large the disks are, in MiB."""

_WINDOW = 256 << 10  # what a proxy holds is past the host, but not yet past the fault


class Ground:
    """Everything that one worker's faults need. Use it as a context manager.

    sites: one for each sink. ways: the proxies. archive, sshd, engine: what they lead to.
    temporary: where the host that is reached over SSH has its temporary files.
    """

    def __init__(self, folder: Path) -> None:
        with contextlib.ExitStack() as stack:
            self._disks = {disk: folder / disk for disk in _DISKS}
            self._resize = {
                disk: stack.enter_context(small_disk(path, _DISKS[disk]))
                for disk, path in self._disks.items()
            }
            self.archive = stack.enter_context(AptArchive(folder / "mirror"))
            # A host whose apt has no lists: to read this machine's takes a third of each build.
            apt = folder / "apt.conf"
            apt.write_text(f'Dir::State::lists "{folder}/lists";\n')
            self._env = {"APT_CONFIG": str(apt)}
            self.temporary = folder / "tmp"
            self.temporary.mkdir()
            options = [f'SetEnv APT_CONFIG="{apt}" TMPDIR="{self.temporary}"']
            self.sshd = stack.enter_context(Sshd(folder / "sshd", options=options))
            self.engine = stack.enter_context(Engine(self._disks["engine"]))
            targets: dict[Way, int | Path] = {
                "ssh": self.sshd.port,
                "mirror": self.archive.server.port,
                "engine": self.engine.socket,
            }
            self.ways = {
                way: stack.enter_context(DelayProxy(target, window=_WINDOW))
                for way, target in targets.items()
            }
            sinks: tuple[Sink, ...] = ("docker", "archive")
            self.sites = {sink: self._site(sink, folder / sink) for sink in sinks}
            self._excused: set[Path] = set()
            self._build_all()
            stack.enter_context(adopted())
            self._known = family(os.getpid())
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _site(self, sink: Sink, folder: Path) -> Site:
        folder.mkdir()
        if sink == "archive":
            (folder / "dist").symlink_to(self._disks["dist"])
        docker = self.engine.url if sink == "docker" else "unix:///nonexistent/docker.sock"
        work = str(self._disks["work"] / sink)
        place = Place(folder, self.archive, docker, TAG, work, self._env)
        return Site(place, sink, self.engine.url)

    def _build_all(self) -> None:
        """Make both roots, and learn what each variant is in each sink."""
        for site in self.sites.values():
            self._far(site)
            for variant in ("b", "a"):
                ended = self.start(site, variant).end()
                assert ended.code == 0, ended.stderr
                site.learn(variant, ended)
            copy = self.sites["archive"].place.root
            if site is self.sites["docker"]:
                copy.parent.mkdir()
                subprocess.run(["cp", "--archive", site.place.root, copy], check=True)

    def _far(self, site: Site) -> tuple[str, ...]:
        return site.place.over_ssh(self.sshd, self.ways["ssh"].port)

    def start(
        self, site: Site, variant: str, *more: str, far: bool = False, engine_proxy: bool = False
    ) -> Running:
        """Begin to build.

        far: over SSH. engine_proxy: reach the engine through it; host and mirror always are.
        """
        url = f"http://127.0.0.1:{self.ways['mirror'].port}"
        for option, mirror in (
            ("--mirror", self.archive.mirror),
            ("--security-mirror", self.archive.security_mirror),
        ):
            more += (option, url + mirror.removeprefix(self.archive.server.url))
        if site.sink == "docker":
            more += ("--to", "docker")  # and not into an archive when it does not answer
        if far:
            more += self._far(site)
        env = {"DOCKER_HOST": f"tcp://127.0.0.1:{self.ways['engine'].port}"}
        return site.place.start(
            "--json", *VARIANTS[variant], *more, **(env if engine_proxy else {})
        )

    def fill(self, disk: Disk, room: int) -> None:
        """Leave so many KiB on a disk, and some more where it is being written fast."""
        for attempt in range(10):
            used = shutil.disk_usage(self._disks[disk]).used
            try:
                return self._resize[disk](used / (1 << 20) + room / 1024 + attempt)
            except subprocess.CalledProcessError:  # something was written just now
                if attempt == 9:
                    raise
        return None

    def mend(self) -> None:
        """End all faults: nothing breaks any more, and the engine runs."""
        for proxy in self.ways.values():
            proxy.resume()
            proxy.throttle(None)
        self.archive.server.mend()
        for disk, resize in self._resize.items():
            resize(_DISKS[disk])
        if not self.engine.answers():
            self.engine.restart()

    def files_left(self) -> list[str]:
        """Return the temporary files that builds have left on the host and in the engine."""
        left = {*self.temporary.iterdir(), *self._engine_files()} - self._excused
        return [str(path) for path in left]

    def excuse_engine(self) -> None:
        """Take its temporary files for its own: one that is killed leaves some, and for good."""
        self._excused = self._engine_files()

    def _engine_files(self) -> set[Path]:
        data = self._disks["engine"] / "data"
        places = [data / "tmp", *data.glob("image/*/layerdb/tmp")]
        return {path for place in places if place.is_dir() for path in place.iterdir()}

    def strangers(self) -> Family:
        """Return the processes that builds have left, wherever they are."""
        bury()
        ours = self._known | family(self.engine.pid)
        return frozenset(one for one in family(os.getpid()) - ours if one[0] != self.engine.pid)
