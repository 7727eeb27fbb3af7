"""What Debian offers: reading apt's lists, following dependencies, downloading the archives.

apt itself checks the signatures of its lists and the digests of what it downloads; nothing here
needs root, and nothing of the machine is changed.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from rootwright.errors import StepError
from rootwright.sample_mirror.packages import LIBRARIES, UNNEEDED, Package

TOOLS: Mapping[str, str] = {
    "apt-get": "apt",
    "apt-cache": "apt",
    "bsdtar": "libarchive-tools",
    "dpkg-deb": "dpkg",
    "gpg": "gpg",
    "gpg-agent": "gpg-agent",
    "gpgconf": "gpgconf",
    "repo-add": "pacman-package-manager",
    "vercmp": "makepkg",
    "zstd": "zstd",
}
"""The programs that make a mirror, and the Debian package of each."""

MACHINES: Mapping[str, str] = {
    "amd64": "x86_64",
    "arm64": "aarch64",
    "ppc64el": "ppc64le",
    "riscv64": "riscv64",
    "s390x": "s390x",
}
"""Debian's name of an architecture, and pacman's, which is the machine name of ``uname -m``."""


@dataclass(frozen=True)
class Deb:
    """One binary package as apt would install it today.

    depends: its ``Pre-Depends`` and ``Depends``, each as the names that satisfy it.
    """

    name: str
    version: str
    architecture: str
    sha256: str
    size: int
    summary: str
    depends: tuple[tuple[str, ...], ...]

    @property
    def filename(self) -> str:
        """Return the name that ``apt-get download`` gives the file."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"


def check_tools(path: str | None = None) -> None:
    """Raise StepError naming the Debian packages to install when a program is missing.

    path: where to look, in the form of ``PATH``; the environment's own by default.
    """
    missing = [tool for tool in TOOLS if shutil.which(tool, path=path) is None]
    if missing:
        wanted = sorted({TOOLS[tool] for tool in missing})
        raise StepError(
            f"The sample mirror cannot be made here: {', '.join(missing)} missing.",
            hint=f"It is made on Debian or Ubuntu. apt-get install {' '.join(wanted)}",
        )


def architecture() -> str:
    """Return Debian's name of this machine's architecture. Raises StepError for an unknown one."""
    name = _run(["dpkg", "--print-architecture"]).decode().strip()
    if name not in MACHINES:
        raise StepError(
            f"The sample mirror knows no Arch name for the architecture {name}.",
            hint=f"It can be made on {', '.join(MACHINES)}.",
        )
    return name


class Offered(Mapping[str, Deb]):
    """The packages of a control file (deb-control(5)) by name, each read when it is asked for.

    control: the file's text, some 60,000 paragraphs long.
    native: the architecture whose packages count, besides those for all.
    """

    def __init__(self, control: str, native: str) -> None:
        """Keep the paragraphs apart; nothing else is looked at yet."""
        usable = (f"\nArchitecture: {native}\n", "\nArchitecture: all\n")
        self._paragraphs = {
            paragraph[len("Package: ") : paragraph.index("\n")]: paragraph
            for paragraph in control.split("\n\n")
            if paragraph.startswith("Package: ")
            and (usable[0] in paragraph or usable[1] in paragraph)
            and "\nSHA256: " in paragraph
        }

    def __getitem__(self, name: str) -> Deb:
        """Return the package called `name`. Raises KeyError when Debian has none."""
        found = dict(_FIELD.findall(self._paragraphs[name]))
        return Deb(
            name=found["Package"],
            version=found["Version"],
            architecture=found["Architecture"],
            sha256=found["SHA256"],
            size=int(found["Size"]),
            summary=found.get("Description") or found.get("Description-en", ""),
            depends=(*needs(found.get("Pre-Depends", "")), *needs(found.get("Depends", ""))),
        )

    def __contains__(self, name: object) -> bool:
        """Say whether Debian has a package called `name`."""
        return name in self._paragraphs

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._paragraphs)

    def __len__(self) -> int:
        """Return how many packages there are."""
        return len(self._paragraphs)


_FIELD = re.compile(
    r"^(Package|Version|Architecture|SHA256|Size|Description(?:-en)?|Depends|Pre-Depends): (.*)$",
    re.MULTILINE,
)


def offered(native: str) -> Offered:
    """Return every package apt could install on architecture `native`.

    Raises StepError when apt has no package lists.
    """
    debs = Offered(_run(["apt-cache", "dumpavail"]).decode("utf-8", "replace"), native)
    if "libc6" not in debs:
        raise StepError(
            "apt has no package lists on this machine, and the sample mirror is made from them.",
            hint="apt-get update",
        )
    return debs


def needs(relation: str) -> Iterator[tuple[str, ...]]:
    """Yield the dependencies of a relationship field, each as its alternatives' bare names."""
    for clause in filter(None, (part.strip() for part in relation.split(","))):
        yield tuple(re.split(r"[\s:(\[]", choice.strip())[0] for choice in clause.split("|"))


@dataclass(frozen=True)
class Part:
    """An Arch package with the Debian archives it is made of and the Arch packages it needs."""

    package: Package
    debs: tuple[Deb, ...]
    depends: tuple[str, ...]


def resolve(packages: Sequence[Package], debs: Mapping[str, Deb]) -> list[Part]:
    """Return `packages`, and the libraries they need, each with its archives and dependencies.

    Raises StepError when Debian has not got a package, or nothing that satisfies a dependency.
    """
    known = {package.name: package for package in packages}
    owner = {_plain(name): package.name for package in packages for name in package.debian}
    members: dict[str, dict[str, Deb]] = {name: {} for name in known}
    wanted: dict[str, set[str]] = {name: set() for name in known}
    waiting = [
        (package.name, _plain(name))
        for package in packages
        for name in package.debian
        if not (name.endswith("?") and _plain(name) not in debs)
    ]
    while waiting:
        arch, name = waiting.pop()
        if name not in debs:
            raise StepError(
                f"This machine's apt offers no {name}, which the package {arch} is made of.",
                hint="apt-get update; the sample mirror needs Debian 12 or Ubuntu 24.04, or later",
            )
        members.setdefault(arch, {})[name] = debs[name]
        wanted.setdefault(arch, set())
        if arch in known and known[arch].sealed:
            continue
        for choices in debs[name].depends:
            other = _choose(choices, debs, owner, name)
            if other is None:
                continue
            target = _owner(other, owner)
            if target != arch:
                wanted[arch].add(target)
            if other not in members.get(target, {}):
                waiting.append((target, other))
    return [_part(known.get(name), name, members[name], wanted[name]) for name in sorted(members)]


def _part(
    package: Package | None, name: str, members: Mapping[str, Deb], wanted: Iterable[str]
) -> Part:
    package = package or Package(name=name)
    # The packages named in the table come first: the first one gives the version.
    order = [plain for plain in map(_plain, package.debian) if plain in members]
    order += sorted(set(members) - set(order))
    depends = {*package.depends, *wanted} - {name}
    # Nothing stands before the merged-usr links of filesystem.
    if not depends and name not in ("filesystem", "iana-etc"):
        depends = {"filesystem"}
    return Part(package, tuple(members[deb] for deb in order), tuple(sorted(depends)))


def _plain(name: str) -> str:
    return name.removesuffix("?")


def _owner(deb: str, owner: Mapping[str, str]) -> str:
    if deb in owner:
        return owner[deb]
    for arch, globs in LIBRARIES.items():
        if any(fnmatchcase(deb, glob) for glob in globs):
            return arch
    return deb


def _choose(
    choices: tuple[str, ...], debs: Mapping[str, Deb], owner: Mapping[str, str], by: str
) -> str | None:
    """Return the Debian package that stands for a dependency, or None where none is needed."""
    for choice in choices:
        if any(fnmatchcase(choice, glob) for glob in UNNEEDED):
            return None
    for choice in choices:
        if choice in owner and choice in debs:
            return choice
    for choice in choices:
        if choice in debs:
            return choice
    raise StepError(
        f"Debian's {by} needs {' or '.join(choices)}, which the sample mirror cannot place.",
        hint="apt-get update; if that changes nothing, this release is one it does not know",
    )


def download(debs: Iterable[Deb], folder: Path) -> None:
    """Bring the archives into `folder`, those it has not got yet, in one call of apt-get.

    Raises StepError when one could not be had, or is not what the lists say.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [deb for deb in debs if not _whole(folder / deb.filename, deb)]
    if not missing:
        return
    # As root, apt would drop to the user _apt, who may not write here.
    _run(
        ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download"]
        + [f"{deb.name}:{deb.architecture}={deb.version}" for deb in missing],
        cwd=folder,
        hint="apt-get update, when the lists are older than the archive; then the same again",
    )
    for deb in missing:
        if not _whole(folder / deb.filename, deb):
            raise StepError(
                f"apt-get did not leave {deb.filename} as its lists describe it.",
                where=str(folder),
                hint="remove the folder and try again",
            )


def _whole(path: Path, deb: Deb) -> bool:
    if not path.is_file() or path.stat().st_size != deb.size:
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == deb.sha256


def _run(argv: Sequence[str], *, cwd: Path | None = None, hint: str = "") -> bytes:
    done = subprocess.run(argv, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        raise StepError(
            f"{argv[0]} ended with status {done.returncode}.",
            command=" ".join(argv[:6]) + (" …" if len(argv) > 6 else ""),
            output="\n".join(done.stderr.decode("utf-8", "replace").splitlines()[-8:]),
            hint=hint,
        )
    return done.stdout
