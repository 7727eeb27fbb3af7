"""A small signed Debian archive over HTTP on loopback, that can be broken on purpose.

    with AptArchive(tmp_path / "archive") as archive:
        source = f"deb [signed-by={archive.keyring}] {archive.mirror} {archive.suite} main"
        subprocess.run(["mmdebstrap", "--variant=minbase", archive.suite, root, source], check=True)

Nothing is on disk but keys: indexes and packages are served from memory, and a new state of the
archive replaces the old one at once.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import subprocess
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.debs import Deb, Entry
from tests.support.http_server import FaultyServer
from tests.support.tiny_debian import architecture, base_packages

DATE = datetime(2024, 6, 1, 12, 0, 0, tzinfo=UTC)
"""The Date of every Release, until another one is set."""


class AptArchive:
    """A mirror with three suites: the release, its updates and its security updates.

    folder: made if missing; holds the public key.
    suite: the release, with the packages of `tests.support.tiny_debian`; debootstrap must know it.
    path, security_path: where the suites are; the same one twice is the way of Ubuntu.
    components: the packages are in the first, the others are empty.
    mirror, security_mirror: what a source of apt names.
    updates, security: the names of the other suites, which have no packages until `publish`.
    keyring: the public key, for ``signed-by`` and ``--keyring``. Roots that are bootstrapped from
        here have it as /usr/share/keyrings/debian-archive-keyring.gpg.
    server: what has been asked for, and the faults.
    """

    def __init__(
        self,
        folder: Path,
        *,
        suite: str = "bookworm",
        path: str = "debian",
        security_path: str = "debian-security",
        components: Sequence[str] = ("main",),
        date: datetime = DATE,
        packages: Sequence[Deb] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.suite, self.updates, self.security = suite, f"{suite}-updates", f"{suite}-security"
        self.components = tuple(components)
        self.architecture = architecture()
        self._paths = {suite: path, self.updates: path, self.security: security_path}
        self._dates = dict.fromkeys(self._paths, date)
        self._key = _Key()
        self.keyring = (folder / "archive-keyring.gpg").absolute()
        self.keyring.write_bytes(self._key.public)
        base = base_packages(suite) if packages is None else packages
        self._debs: dict[str, list[Deb]] = {name: [] for name in self._paths}
        self._debs[suite] = [*base, _keyring_package(self._key.public)]
        self.server = FaultyServer()
        self.mirror = f"{self.server.url}/{path}"
        self.security_mirror = f"{self.server.url}/{security_path}"
        self._refresh(*self._paths)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def sources(self) -> list[str]:
        """Return the lines of sources.list for all three suites, signatures checked."""
        options = f"[signed-by={self.keyring}]"
        words = " ".join(self.components)
        return [
            f"deb {options} {self.server.url}/{path} {suite} {words}"
            for suite, path in self._paths.items()
        ]

    def package(self, name: str) -> Deb:
        """Return a package of the release, such as one to publish an upgraded version of."""
        return next(deb for deb in self._debs[self.suite] if deb.name == name)

    def publish(self, *debs: Deb, suite: str | None = None) -> None:
        """Add packages to a suite, the release if none is named, and sign it anew."""
        suite = suite or self.suite
        self._debs[suite] += debs
        self._refresh(suite)

    def set_date(self, date: datetime, suite: str | None = None) -> None:
        """Change the Date of one Release, or of all."""
        suites = [suite] if suite else list(self._paths)
        self._dates |= dict.fromkeys(suites, date)
        self._refresh(*suites)

    def stop(self) -> None:
        """End the server and forget the key. May be called again."""
        self.server.stop()
        self._key.forget()

    def _refresh(self, *suites: str) -> None:
        files: dict[str, bytes] = {}
        for suite in suites:
            path = self._paths[suite]
            for deb in self._debs[suite]:
                files[f"/{path}/pool/{deb.filename}"] = _built(deb)
            release = self._release(suite, files).encode()
            folder = f"/{path}/dists/{suite}"
            files[f"{folder}/Release"] = release
            files[f"{folder}/Release.gpg"] = self._key.sign(release, "--detach-sign")
            files[f"{folder}/InRelease"] = self._key.sign(release, "--clear-sign")
        self.server.files = {**self.server.files, **files}

    def _release(self, suite: str, files: dict[str, bytes]) -> str:
        """Add a suite's indexes to files; return its Release."""
        kind = suite.removeprefix(self.suite)
        sums = ""
        for component in self.components:
            debs = self._debs[suite] if component == self.components[0] else []
            index = "".join(map(_stanza, debs)).encode()
            name = f"{component}/binary-{self.architecture}/Packages"
            for ending, data in (("", index), (".gz", gzip.compress(index, mtime=0))):
                files[f"/{self._paths[suite]}/dists/{suite}/{name}{ending}"] = data
                sums += f" {hashlib.sha256(data).hexdigest()} {len(data)} {name}{ending}\n"
        fields = {
            "Origin": "Debian",
            "Label": "Debian-Security" if suite == self.security else "Debian",
            "Suite": f"stable{kind}",
            "Codename": suite,
            "Date": self._dates[suite].astimezone(UTC).strftime("%a, %d %b %Y %H:%M:%S UTC"),
            "Architectures": self.architecture,
            "Components": " ".join(self.components),
            "Description": "for tests",
        }
        return "".join(f"{key}: {value}\n" for key, value in fields.items()) + f"SHA256:\n{sums}"


class _Key:
    """A key that exists as long as the archive; the secret half never leaves its own folder."""

    def __init__(self) -> None:
        # Not in the test's folder: the path of the agent's socket must be short.
        self._home = tempfile.TemporaryDirectory(prefix="gpg-")
        name = "Rootwright test archive <archive@example.org>"
        self._gpg("--passphrase", "", "--quick-generate-key", name, "ed25519", "sign", "never")
        self.public = self._gpg("--export")

    def sign(self, data: bytes, how: str) -> bytes:
        return self._gpg("--armor", "--digest-algo", "SHA512", how, given=data)

    def forget(self) -> None:
        kill = ["gpgconf", "--homedir", self._home.name, "--kill", "all"]
        subprocess.run(kill, capture_output=True, check=False)
        self._home.cleanup()

    def _gpg(self, *arguments: str, given: bytes = b"") -> bytes:
        argv = ["gpg", "--homedir", self._home.name, "--batch", "--quiet", *arguments]
        return subprocess.run(argv, input=given, stdout=subprocess.PIPE, check=True).stdout


@functools.lru_cache(maxsize=256)
def _built(deb: Deb) -> bytes:
    return deb.build()


@functools.lru_cache(maxsize=256)
def _stanza(deb: Deb) -> str:
    """Return what a Packages file says of a package."""
    data = _built(deb)
    place = f"Filename: pool/{deb.filename}\nSize: {len(data)}\n"
    return f"{deb.control()}{place}SHA256: {hashlib.sha256(data).hexdigest()}\n\n"


def _keyring_package(public: bytes) -> Deb:
    """Return the package through which a root trusts this archive, as Debian's own does."""
    places = ("/usr/share/keyrings/debian-archive-keyring.gpg", "/etc/apt/trusted.gpg.d/debian.gpg")
    fields = {"Priority": "important"}
    return Deb(
        "debian-archive-keyring",
        "2024.1",
        files=dict.fromkeys(places, Entry(public)),
        fields=fields,
    )
