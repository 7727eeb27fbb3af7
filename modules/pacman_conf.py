"""pacman's configuration, with only the options that the pacman at hand knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rootwright.errors import UsageError
from rootwright.module import UNRECORDED, Module, read_template
from rootwright.resource import Change, File, Resource, State, Template
from rootwright.resource.base import PathResource

Generation = tuple[int, int]
"""Major and minor version of the pacman that first knew an option."""

GENERATIONS: tuple[Generation, ...] = ((0, 0), (6, 0), (7, 0), (7, 1))
"""6.0 brought ParallelDownloads; 7.0 DownloadUser and DisableSandbox; 7.1 split the latter.

Source: pacman's NEWS.
"""

NO_EXTRACT: Mapping[str, tuple[str, ...]] = {
    "": (),
    "slim": (
        "usr/share/help/* !usr/share/help/en* !usr/share/help/C/*",
        "usr/share/gtk-doc/html/* usr/share/doc/*",
        "usr/share/locale/* !usr/share/locale/en*/* !usr/share/locale/locale.*",
        "usr/share/X11/locale/* !usr/share/X11/locale/en*/* !usr/share/X11/locale/C/*",
        "!usr/share/X11/locale/locale.* !usr/share/X11/locale/compose.dir",
        "!usr/share/X11/locale/iso8859-1/*",
        "usr/share/man/* usr/share/info/* usr/share/vim/vim*/lang/*",
    ),
}
"""Profiles of what packages leave out, by name; a later pattern wins.

``slim`` is what Arch's own image leaves out (archlinux-docker, ``pacman-conf.d-noextract.conf``),
but for the sources of locales in usr/share/i18n: they stay, so that any locale can be generated,
in the root and in a container, without installing glibc again.
"""

_NAME = re.compile(r"[A-Za-z0-9@_+][A-Za-z0-9@._+-]*")
_SIGNED = {
    "Required",
    "PackageRequired",
    "DatabaseOptional",
    "DatabaseRequired",
    "TrustedOnly",
    "PackageTrustedOnly",
    "DatabaseTrustedOnly",
}


def check_names(names: Sequence[str], what: str) -> None:
    """Raise UsageError unless each is a name as packages and repositories have them."""
    for name in names:
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} is not the name of a {what}", hint="see PKGBUILD(5)")


def no_extract(profile: str) -> tuple[str, ...]:
    """Return a profile's patterns. Raises UsageError for one that does not exist."""
    if profile not in NO_EXTRACT:
        raise UsageError(
            f"there is no NoExtract profile {profile!r}",
            hint="one of " + ", ".join(name for name in NO_EXTRACT if name),
        )
    return NO_EXTRACT[profile]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a pacman.conf says, whichever pacman reads it.

    what: its first line. sources: the lines of each repository, such as ``Server = …``.
    folders: further options that are paths, as pairs. The rest as in `PacmanConf`.
    """

    what: str
    repositories: tuple[str, ...]
    sources: tuple[str, ...]
    architecture: str = "auto"
    folders: tuple[tuple[str, str], ...] = ()
    ignore: tuple[str, ...] = ()
    no_extract: tuple[str, ...] = ()
    check_space: bool = False
    parallel: int = 5
    download_user: str = ""
    sig_level: str = "Required DatabaseOptional"

    def __post_init__(self) -> None:
        """Refuse what would not mean in the file what it means here."""
        check_names(self.repositories, "repository")
        check_names(self.ignore, "package")
        if not self.repositories:
            raise UsageError(
                "pacman needs at least one repository", hint="name some, such as core and extra"
            )
        if not re.fullmatch("[a-z0-9_]+", self.architecture):
            raise UsageError(f"{self.architecture!r} is no architecture", hint="such as x86_64")
        words = set(self.sig_level.split())
        if not words <= _SIGNED or not words & {"Required", "PackageRequired"}:
            raise UsageError(
                f"SigLevel cannot be {self.sig_level!r}: packages must be signed by trusted keys",
                hint="use 'Required', or 'Required DatabaseOptional' as Arch does",
            )
        if self.parallel < 1:
            raise UsageError("ParallelDownloads must be at least 1")

    def file(self, path: str, generation: Generation) -> File:
        """Return the file for one generation of pacman."""
        text = read_template("pacman.conf.j2")
        return Template(path, text, values={**vars(self), "generation": generation})


def by_generation(make: Callable[[Generation], str], version: str) -> str:
    """Return sh that does one of several things, by pacman's version.

    make: what to do from a generation on. version: sh that prints a version, or nothing.
    """
    tests = "".join(
        f'v >= {major * 100 + minor} ? "{major}.{minor}" : ' for major, minor in GENERATIONS[::-1]
    )
    awk = f'{{ v = $1 * 100 + $2; print ({tests}""); exit }}'
    lines = [f"rw_pacman=$({{ {version}; }} 2>/dev/null | awk -F '[^0-9]+' '{awk}')"]
    # With nobody there to say a version, only the options that every pacman knows.
    lines.append("case ${rw_pacman:-0.0} in")
    lines += [f"{major}.{minor})\n{make((major, minor))}\n;;" for major, minor in GENERATIONS]
    return "\n".join([*lines, "esac"])


HOST_VERSION = "pacman --version | sed -n 's/.*Pacman v\\([0-9]\\)/\\1/p'"
"""sh that prints the version of the host's own pacman."""

_ROOT_VERSION = (
    'if [ -n "$rw_root" ]; then '
    "ls -d \"$rw_root\"/var/lib/pacman/local/pacman-[0-9]* | sed 's|.*/pacman-||'; "
    f"else {HOST_VERSION}; fi"
)
"""The same of the root's: its database of packages says it, so nothing need run in the root."""


@dataclass(frozen=True)
class VersionedFile(PathResource):
    """A file whose content depends on the version of the pacman in the root."""

    settings: Settings

    @property
    def label(self) -> str:
        """The path."""
        return f"file {self.path}"

    @property
    def reads(self) -> tuple[str, ...]:
        """The path, and what says which pacman is installed."""
        return (self.path, "/var/lib/pacman/local", "/usr/bin/pacman")

    def _file(self, generation: Generation) -> File:
        return self.settings.file(self.path, generation)

    def probe(self) -> str:
        """See the version, and the file against what it should be for that version."""

        def make(generation: Generation) -> str:
            said = "{}.{}".format(*generation)
            return f"printf 'pacman={said} '\n{self._file(generation).probe()}"

        return by_generation(make, _ROOT_VERSION)

    def compare(self, state: State) -> Change | None:
        """Compare with the file for the version that was seen."""
        major, _, minor = state.fields.get("pacman", "0.0").partition(".")
        return self._file((int(major), int(minor))).compare(state)

    def converge(self) -> str:
        """Write the file for the version that is there."""
        return by_generation(lambda g: self._file(g).converge(), _ROOT_VERSION)


@dataclass(frozen=True, kw_only=True)
class PacmanConf(Module):
    """Write /etc/pacman.conf.

    Only options that the root's pacman knows are written. Packages must be signed by keys that
    are trusted: there is no value that turns this off.

    repositories: in order of precedence. They are looked for on the mirrors of the mirrorlist.
    architecture: pacman's word for it, or ``auto`` for the machine's own.
    sig_level: see SigLevel in pacman.conf(5).
    ignore: packages that an upgrade leaves as they are.
    profile: what packages leave out: ``slim``, or nothing. See NO_EXTRACT in this file.
    parallel: downloads at the same time.
    check_space: look at free space before installing. It fails in a chroot that is not a mount
        point, so Arch's own image leaves it off, too.
    download_user: who downloads, where pacman knows how to change to another user (7.0).
    Source: pacman.conf(5).
    """

    repositories: tuple[str, ...] = ("core", "extra")
    architecture: str = "auto"
    sig_level: str = "Required DatabaseOptional"
    ignore: tuple[str, ...] = ()
    profile: str = ""
    parallel: int = field(default=5, metadata=UNRECORDED)
    check_space: bool = False
    download_user: str = "alpm"

    def resources(self) -> Iterator[Resource]:
        """Yield the file."""
        yield VersionedFile(
            "/etc/pacman.conf",
            Settings(
                what="pacman's configuration, made by Rootwright.",
                repositories=self.repositories,
                sources=("Include = /etc/pacman.d/mirrorlist",),
                architecture=self.architecture,
                ignore=self.ignore,
                no_extract=no_extract(self.profile),
                check_space=self.check_space,
                parallel=self.parallel,
                download_user=self.download_user,
                sig_level=self.sig_level,
            ),
        )
