"""A root made of Arch's packages."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rootwright.module import UNRECORDED, Module, read_template
from rootwright.modules.mirrorlist import servers
from rootwright.modules.pacman_conf import (
    HOST_VERSION,
    Generation,
    Settings,
    by_generation,
    check_names,
    no_extract,
)
from rootwright.resource import Answer, Bootstrap, Resource, quote
from rootwright.resource.files import read_content
from rootwright.text import harmless

KEYRING_FILES = ("{}.gpg", "{}-trusted", "{}-revoked")
"""What a keyring consists of; the last may be missing. Source: pacman-key(8)."""

KEYRING_LIMIT = 8 * 1024 * 1024
"""Bytes a keyring may have: it travels inside the request. Arch's has under 2 MiB."""

PRIVATE = "/var/lib/pacman"
"""Where, on the host, the build's own pacman.conf, GPGDir and cache are put, in the build's own
mount namespace: what the host keeps there is out of sight."""

ANSWERS = (
    Answer(r"is in IgnorePkg/IgnoreGroup\. Install anyway\? \[Y/n\] ", "n"),
    Answer(r"Enter a selection \(default=all\): ", ""),
    # The first, which is also what pacman takes when it may not ask.
    Answer(r"Enter a number \(default=1\): ", ""),
    Answer(r"Proceed with installation\? \[Y/n\] ", "y"),
    # After a bad signature, of the copy in the build's own cache; pacman then fails.
    Answer(r"Do you want to delete it\? \[Y/n\] ", "y"),
    # Who is trusted is for the keyring to say; pacman then fails.
    Answer(r"Import PGP key .*\? \[Y/n\] ", "n"),
)
"""What pacman asks when it may ask, and what it is told."""


def read_keyring(folder: Path, name: str = "archlinux") -> dict[str, bytes]:
    """Return the files of a keyring of pacman's, by file name.

    folder: on the controller. Raises UsageError for what is no keyring.
    """
    found: dict[str, bytes] = {}
    hint = f"give a folder with {name}.gpg, {name}-trusted and {name}-revoked"
    for pattern in KEYRING_FILES:
        path = folder / pattern.format(name)
        if path.name.endswith("-revoked") and folder.is_dir() and not path.exists():
            found[path.name] = b""
        else:
            what = f"the keyring's {path.name}"
            found[path.name] = read_content(path, what, harmless(str(folder)), hint)
    return found


@dataclass(frozen=True, kw_only=True)
class Pacstrap(Module):
    """Make the root from Arch's packages, with pacstrap.

    The build has a pacman configuration, a keyring and a cache of its own: the host's are neither
    used nor changed. Every package's signature is checked. What was installed is compared with
    what was asked for: pacstrap's exit status does not say it.

    packages: packages and groups. Where one is a group, pacstrap asks about each ignored member
        and is answered; a package without files of its own, as ``base`` is, may miss what it
        depends on and is ignored.
    ignore: packages not to install. One that something else needs is an error.
    spare: packages not to install as long as nothing else needs them.
    repositories: in order of precedence.
    urls: mirrors in order of preference, as in the module mirrorlist.
    architecture: pacman's word for it.
    profile: what packages leave out, as in the module pacman_conf.
    keyring: a keyring's files by name, trusted instead of the host's own archlinux-keyring.
    keyring_name: what the keyring's files begin with.
    parallel: downloads at the same time.
    Changing any of these but the last makes the root anew.
    Source: pacstrap(8), pacman(8), archlinux-docker's ``make-rootfs.sh``.
    """

    on_host = "it makes a root from nothing"

    packages: tuple[str, ...] = ("base",)
    ignore: tuple[str, ...] = ()
    spare: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ("core", "extra")
    urls: tuple[str, ...] = field(metadata=UNRECORDED)
    architecture: str = "x86_64"
    profile: str = ""
    keyring: Mapping[str, bytes] = field(default_factory=dict, repr=False, metadata=UNRECORDED)
    keyring_name: str = "archlinux"
    parallel: int = field(default=5, metadata=UNRECORDED)

    def resources(self) -> Iterator[Resource]:
        """Yield the bootstrap."""
        self._check()
        yield Bootstrap(
            "pacstrap", self._script(), stamp=self._stamp(), inside=False, answers=ANSWERS
        )

    def _check(self) -> None:
        check_names(self.packages, "package")
        check_names((*self.ignore, *self.spare), "package")
        check_names((self.keyring_name,), "keyring")
        if not self.packages:
            raise self.refuse("a root needs at least one package", "base is what Arch has")
        both = [name for name in self.packages if name in self.ignore]
        if both:
            raise self.refuse(f"{both[0]} is both asked for and ignored")
        if sum(map(len, self.keyring.values())) > KEYRING_LIMIT:
            raise self.refuse(f"the keyring has more than {KEYRING_LIMIT} bytes")
        for name, data in self.keyring.items():
            lines = () if name.endswith(".gpg") else data.splitlines()
            if not all(_FINGERPRINT.fullmatch(line.strip()) for line in lines):
                raise self.refuse(
                    f"the keyring's {name} is no list of fingerprints",
                    "each line has the 40 hexadecimal digits of a key, as pacman-key(8) says",
                )

    def _stamp(self) -> str:
        keyring = "the host's"
        if self.keyring:
            content = b"".join(self.keyring[name] for name in sorted(self.keyring))
            keyring = f"sha256:{hashlib.sha256(content).hexdigest()}"
        said = {
            "packages": " ".join(self.packages),
            "ignore": " ".join(self.ignore),
            "spare": " ".join(self.spare),
            "repositories": " ".join(self.repositories),
            # The port of a tunnel to a mirror says nothing of the mirror.
            "mirrors": _LOOPBACK.sub(r"\1", " ".join(servers(self.urls))),
            "architecture": self.architecture,
            "left out": " ".join(no_extract(self.profile)),
            "keyring": f"{self.keyring_name}, {keyring}",
        }
        return "".join(f"{name}: {value}\n" for name, value in said.items())

    def _settings(self) -> Settings:
        return Settings(
            what="The configuration of one build.",
            repositories=self.repositories,
            sources=tuple(f"Server = {server}" for server in servers(self.urls)),
            architecture=self.architecture,
            # HookDir, or the host's own hooks would run.
            folders=tuple(
                (name, f"{PRIVATE}/{folder}")
                for name, folder in (
                    ("CacheDir", "pkg/"),
                    ("GPGDir", "gnupg/"),
                    ("HookDir", "hooks/"),
                    ("LogFile", "log"),
                )
            ),
            no_extract=no_extract(self.profile),
            check_space=True,
            parallel=self.parallel,
        )

    def _script(self) -> str:
        script = read_template("pacstrap.sh").encode()

        def configuration(generation: Generation) -> str:
            return _unpack(self._settings().file("/pacman.conf", generation).data, "pacman.conf")

        given = {
            "rw_packages": " ".join(dict.fromkeys(self.packages)),
            "rw_ignore": " ".join(dict.fromkeys(self.ignore)),
            "rw_spare": " ".join(n for n in dict.fromkeys(self.spare) if n not in self.packages),
            "rw_repositories": " ".join(self.repositories),
            "rw_keyring": self.keyring_name,
        }
        return "\n".join(
            [
                f"# {' '.join(self.packages)} for {self.architecture}, from nothing",
                by_generation(configuration, HOST_VERSION),
                *(['mkdir "$TMPDIR/keyring"'] if self.keyring else []),
                *(_unpack(data, f"keyring/{name}") for name, data in self.keyring.items()),
                _unpack(script, "pacstrap.sh"),
                *(f"{name}={quote(value)}" for name, value in given.items()),
                f"export rw_root rw_state {' '.join(given)}",
                'unshare --mount --pid --fork --kill-child sh "$TMPDIR/pacstrap.sh"',
            ]
        )


_LOOPBACK = re.compile(r"(://(?:127\.0\.0\.1|localhost)):[0-9]+")
_FINGERPRINT = re.compile(rb"[0-9A-Fa-f]{40}(:[0-9]+:)?|#.*|")


def _unpack(data: bytes, name: str) -> str:
    encoded = base64.b64encode(data).decode()
    return f'printf %s {quote(encoded)} | base64 -d >"$TMPDIR"/{quote(name)}'
