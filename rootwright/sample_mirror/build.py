"""Making the mirror, and knowing when it need not be made again.

Folder of a sample mirror:

    downloads/       Debian's archives
    keys/            private keys, 0700
    keyring/         the public ones, as pacman-key reads them
    pool/            packages by the digest of what they are made of, shared by both shapes
    package/ group/  the mirrors: served/, manifest.json
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rootwright.sample_mirror import debian, edits, keys, packages
from rootwright.sample_mirror.database import index
from rootwright.sample_mirror.debian import Part
from rootwright.sample_mirror.mirror import Published, SampleMirror, Saved, Shape, load, save
from rootwright.sample_mirror.package import Info, version, write
from rootwright.sample_mirror.tree import Entry, Tree, from_deb, merge

WORKERS = 2
_KEYRINGS = "usr/share/pacman/keyrings"

Say = Callable[[str], None]
"""Called with a line about what is being done now."""


def _quiet(line: str, /) -> None:
    """Say nothing."""


def build(folder: Path, *, base_as: Shape = "package", say: Say = _quiet) -> SampleMirror:
    """Return the sample mirror kept in `folder`, making what of it is not there or out of date.

    folder: anywhere this user may write; created. Nothing else on the machine is changed, and no
        root rights are needed.
    base_as: what ``base`` is, a package or a group. Both shapes can live in one folder.
    say: called with a line about each step.
    Raises StepError when a tool is missing, apt has no lists, or a download or a tool fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        marks = _fingerprint()
        if (folder / "keys").is_dir():
            there = load(folder / base_as, folder / "keyring", keys.make(folder / "keys"))
            # A machine whose apt lists were cleared away keeps the mirror that it has.
            if there and marks in (there.lists, "") and there.mirror.complete():
                return there.mirror
        debian.check_tools()
        native = debian.architecture()
        say("asking apt what Debian offers")
        parts = debian.resolve(packages.PACKAGES, debian.offered(native))
        return _Making(folder, base_as, debian.MACHINES[native], say).make(parts, marks)


@dataclass(frozen=True)
class _Making:
    folder: Path
    base_as: Shape
    machine: str
    say: Say

    def make(self, parts: Sequence[Part], marks: str) -> SampleMirror:
        fresh = not (self.folder / "keys").is_dir()
        if fresh:
            self.say("making throwaway signing keys")
        key = keys.make(self.folder / "keys")
        keyring = self.folder / "keyring"
        if fresh or not keyring.is_dir():
            _publish_keyring(keyring, keys.keyring(key))
        jobs = self._jobs(parts, key, keyring)
        inputs = _digest(*(job.digest for job in jobs))
        there = load(self.folder / self.base_as, keyring, key)
        if there is None or there.inputs != inputs or not there.mirror.complete():
            self._download(jobs)
            with key.open() as signer:
                self._pack(jobs, signer)
                mirror = self._publish(jobs, key, keyring, signer)
            save(mirror, inputs, marks)
            there = Saved(self._swap(mirror), inputs, marks)
            self._prune(jobs)
        save(there.mirror, inputs, marks)
        return there.mirror

    def _jobs(self, parts: Sequence[Part], key: keys.Keys, keyring: Path) -> list[_Job]:
        files = {
            f"{_KEYRINGS}/{path.name}": path.read_bytes()
            for path in (keyring / name for name in keys.FILES)
        }
        stamp = time.strftime("%Y%m%d", time.gmtime(keyring.stat().st_mtime))
        mark = _source() + key.fingerprints[keys.PACKAGER]
        wanted = list(parts)
        if self.base_as == "package":
            base = packages.Package(name="base", description="Minimal package set of a system")
            wanted.append(Part(base, (), tuple(packages.BASE)))
        return [
            self._job(part, mark, files if part.package.name == "archlinux-keyring" else {}, stamp)
            for part in wanted
        ]

    def _job(self, part: Part, mark: str, extra: Mapping[str, bytes], stamp: str) -> _Job:
        name, debs = part.package.name, part.debs
        generic = all(deb.architecture == "all" for deb in debs)
        what = part.package.description
        if debs:
            what = f"{debs[0].summary} (Debian's {debs[0].name} {debs[0].version})"
        made = f"{stamp if extra else '1'}-1"
        info = Info(
            name=name,
            version=version(debs[0].version) if debs else made,
            architecture="any" if generic else self.machine,
            description=what if debs else f"{what} (sample)",
            builddate=edits.EPOCH,
            groups=("base",) if self.base_as == "group" and name in packages.GROUP else (),
            provides=part.package.provides,
            depends=part.depends,
        )
        digest = _digest(
            mark, info.text(), repr(part.package), *(deb.sha256 for deb in debs), repr(extra)
        )
        return _Job(part, info, extra, digest, self.folder / "pool" / digest)

    def _download(self, jobs: Sequence[_Job]) -> None:
        wanted = [deb for job in jobs if not job.done for deb in job.part.debs]
        size = sum(deb.size for deb in wanted) / 1e6
        self.say(f"fetching {len(wanted)} Debian packages, {size:.0f} MB")
        debian.download(wanted, self.folder / "downloads")

    def _pack(self, jobs: Sequence[_Job], signer: keys.Signer) -> None:
        todo = [job for job in jobs if not job.done]
        todo.sort(key=lambda job: sum(deb.size for deb in job.part.debs), reverse=True)
        self.say(f"making and signing {len(todo)} packages")
        with ThreadPoolExecutor(WORKERS) as pool:
            try:
                # Largest first, so that no worker is left with a long one at the end.
                for _ in pool.map(lambda job: job.make(self.folder / "downloads", signer), todo):
                    pass
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _publish(
        self, jobs: Sequence[_Job], key: keys.Keys, keyring: Path, signer: keys.Signer
    ) -> SampleMirror:
        self.say("making and signing the databases")
        fresh = self.folder / (self.base_as + ".partial")
        shutil.rmtree(fresh, ignore_errors=True)
        found = {job.info.name: job.published() for job in jobs}
        mirror = SampleMirror(fresh, keyring, key, self.base_as, self.machine, found)
        for repo in packages.REPOSITORIES:
            mirror.directory(repo).mkdir(parents=True)
        for job in jobs:
            for path in (job.file, job.signature):
                os.link(path, mirror.path(job.info.name).with_name(path.name))
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(lambda repo: index(mirror, repo, signer), packages.REPOSITORIES))
        return mirror

    def _swap(self, mirror: SampleMirror) -> SampleMirror:
        goal, old = self.folder / self.base_as, self.folder / (self.base_as + ".old")
        shutil.rmtree(old, ignore_errors=True)
        if goal.exists():
            goal.rename(old)
        mirror.folder.rename(goal)
        shutil.rmtree(old, ignore_errors=True)
        return SampleMirror(
            goal, mirror.keyring, mirror.keys, mirror.base_as, mirror.architecture, mirror.packages
        )

    def _prune(self, jobs: Sequence[_Job]) -> None:
        """Remove archives that Debian has newer ones of, and packages that no mirror links to."""
        current = {deb.filename for job in jobs for deb in job.part.debs}
        for path in (self.folder / "downloads").iterdir():
            if path.is_file() and path.name not in current:
                path.unlink()
        for entry in (self.folder / "pool").iterdir():
            if not any(path.stat().st_nlink > 1 for path in entry.iterdir()):
                shutil.rmtree(entry)


@dataclass(frozen=True)
class _Job:
    """A package to be made: from `part`, and the files `extra`, into the folder `pool`."""

    part: Part
    info: Info
    extra: Mapping[str, bytes]
    digest: str
    pool: Path

    @property
    def file(self) -> Path:
        return self.pool / self.info.filename

    @property
    def signature(self) -> Path:
        return self.pool / (self.info.filename + ".sig")

    @property
    def done(self) -> bool:
        return self.pool.is_dir()

    def make(self, downloads: Path, signer: keys.Signer) -> None:
        name = self.info.name
        tree: Tree = {}
        for deb in self.part.debs:
            only = self.part.package.only
            merge(tree, from_deb(downloads / deb.filename, package=name, only=only), deb.name)
        edits.edit(name, tree)
        for place, data in self.extra.items():
            tree[place] = Entry("file", mtime=edits.EPOCH, data=data)
        partial = self.pool.with_name(self.pool.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        path = partial / self.info.filename
        write(path, self.info.of(tree), tree, edits.INSTALL.get(name, ""))
        signer.sign(path)
        partial.rename(self.pool)

    def published(self) -> Published:
        info = self.info
        return Published(
            name=info.name,
            version=info.version,
            repo=self.part.package.repo,
            filename=info.filename,
            size=self.file.stat().st_size,
            depends=info.depends,
            groups=info.groups,
        )


def _publish_keyring(folder: Path, files: Mapping[str, bytes]) -> None:
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for name, data in files.items():
        (partial / name).write_bytes(data)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _source() -> str:
    """Return a digest of the code that makes packages: other code makes other packages."""
    here = Path(__file__).parent
    return _digest(*(path.read_text() for path in sorted(here.glob("*.py")) if path.stem in _CODE))


_CODE = frozenset(
    {"build", "database", "debian", "edits", "keys", "package", "packages", "texts", "tree"}
)


def _fingerprint() -> str:
    """Return a mark that changes with apt's lists or settings or this code; empty without lists.

    Telling by date and size alone, it costs a few milliseconds where asking apt costs a second.
    """
    lists = sorted(Path("/var/lib/apt/lists").glob("*Packages*"))
    if not lists:
        return ""
    marks = [_source()]
    for path in [*lists, *sorted(Path("/etc/apt").rglob("*"))]:
        status = path.lstat()
        marks.append(f"{path} {status.st_size} {status.st_mtime_ns}")
    return _digest(*marks)


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder against other processes that would make the same mirror."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
