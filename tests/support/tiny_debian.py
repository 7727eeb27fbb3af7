"""A Debian as small as one can be and still be bootstrapped, out of this machine's own programs.

Some twenty packages with the names that mmdebstrap and debootstrap ask for. Programs and libraries
are the installed ones, so no network is needed. Every library goes into libc6, since what costs
time in a bootstrap is the number of packages. There is merged /usr, a little documentation for
what removes it, and three maintainer scripts; perl-base has no perl.
"""

from __future__ import annotations

import functools
import gzip
import re
import stat
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.debs import FOLDER, Deb, Entry, text

# dpkg wants diff, ldconfig, rm, sh, start-stop-daemon and tar in its PATH; debootstrap installs
# base-passwd, base-files, dpkg, libc6, perl-base and mawk by name (scripts/debian-common).
_ESSENTIAL = (
    *("base-files", "base-passwd", "bash", "coreutils", "dash", "debianutils", "diffutils", "dpkg"),
    *("findutils", "grep", "gzip", "hostname", "libc-bin", "perl-base", "sed", "tar"),
)
_REQUIRED = ("apt", "libc6", "mawk", "mount", "passwd", "tzdata", "usr-is-merged")
_BASE = (*_ESSENTIAL, *_REQUIRED, "gpgv")
_EMPTY = {"perl-base": "5", "usr-is-merged": "37"}  # names and versions of what has no files

_ALIASES = ("bin", "sbin", "lib", "lib64")
_LEFT_OUT = re.compile(
    r"/usr/share/(doc|doc-base|man|info|lintian|bug|bash-completion)/"
    r"|/usr/share/locale/(?!locale\.alias)"
    r"|/usr/lib/[^/]+/gconv/"
    r"|/usr/share/zoneinfo/(?!(UTC|Etc|Etc/UTC|Europe|Europe/(Paris|Berlin)|Asia|Asia/Tokyo)/?$)"
)
_MODES = {"/root": 0o700, "/tmp": 0o1777, "/var/tmp": 0o1777}
_MODES |= dict.fromkeys(("/dev", "/proc", "/sys"), 0o755)  # what is mounted there differs


@dataclass(frozen=True)
class _Installed:
    """One installed package: how dpkg addresses it, its version, the first choice of each need."""

    address: str
    version: str
    needs: tuple[str, ...]


def lacks_tiny_debian() -> str:
    """Return why the packages cannot be made here, empty where they can."""
    try:
        missing = [name for name in _BASE if name not in _EMPTY and name not in _installed()]
    except FileNotFoundError:
        return "dpkg is missing: not a Debian"
    return f"packages are not installed here: {', '.join(missing)}" if missing else ""


def is_installed(name: str) -> bool:
    """Return whether `installed_package` can make that package."""
    return name in _installed()


@functools.cache
def architecture() -> str:
    """Return this machine's Debian architecture."""
    return subprocess.check_output(["dpkg", "--print-architecture"], text=True).strip()


def base_packages(suite: str) -> list[Deb]:
    """Return what a bootstrap installs, but for the package with the archive's own key."""
    return [_base_package(name, suite) for name in _BASE]


def installed_package(name: str, depends: str = "") -> Deb:
    """Return a package installed on this machine, without documentation and scripts."""
    return _deb(name, _files(name), {"Depends": depends} if depends else {})


def _base_package(name: str, suite: str) -> Deb:
    fields = {"Priority": "important" if name == "gpgv" else "required", "Section": "base"}
    if name in _ESSENTIAL:
        fields["Essential"] = "yes"
    if name not in (*_EMPTY, "libc6", "base-files", "tzdata"):
        fields["Depends"] = "libc6"  # for mmdebstrap, which starts from what is essential alone
    scripts: dict[str, str] = {}
    files = {} if name in _EMPTY else _files(name)
    match name:
        case "apt":
            fields["Depends"] = "libc6, gpgv, debian-archive-keyring"
            # It has a library of its own; in Debian, a trigger of libc-bin does this.
            scripts["postinst"] = "#!/bin/sh\nexec ldconfig\n"
        case "base-files":
            files |= _base_files(suite)
        case "base-passwd":
            scripts["preinst"] = _base_passwd()
        case "dash":
            files["/usr/bin/sh"] = Entry(link="dash")
        case "debianutils":
            files["/usr/bin/which"] = Entry(link="which.debianutils")
        case "libc6":
            files |= _libraries()
            scripts["postinst"] = "#!/bin/sh\nexec ldconfig\n"
        case "mawk":
            files["/usr/bin/awk"] = Entry(link="mawk")
        case "passwd":
            files |= _pam()
            scripts["postinst"] = "#!/bin/sh\nset -e\npwconv\ngrpconv\n"
        case "usr-is-merged":
            fields["Source"] = "usrmerge"  # a hook of mmdebstrap looks at it
    return _deb(name, files | _documentation(name), fields, scripts)


def _deb(
    name: str,
    files: Mapping[str, Entry],
    fields: Mapping[str, str],
    scripts: Mapping[str, str] | None = None,
) -> Deb:
    version = _EMPTY[name] if name in _EMPTY else _installed()[name].version
    return Deb(name, version, architecture(), files, fields, scripts or {})


@functools.cache
def _installed() -> Mapping[str, _Installed]:
    fields = ("db:Status-Status", "Package", "binary:Package", "Version", "Pre-Depends", "Depends")
    form = "\t".join(f"${{{field}}}" for field in fields) + "\n"
    listing = subprocess.check_output(["dpkg-query", "-W", "-f", form], text=True)
    found: dict[str, _Installed] = {}
    for line in listing.splitlines():
        status, name, address, version, *needs = line.split("\t")
        if status == "installed":
            first = (
                need.split("|")[0].split("(")[0].strip() for need in ",".join(needs).split(",")
            )
            bare = tuple(need.split(":")[0] for need in first if need)
            found.setdefault(name, _Installed(address, version, bare))
    return found


def _files(*names: str) -> dict[str, Entry]:
    """Return what is on this machine at the paths of packages, moved to merged /usr."""
    addresses = [_installed()[name].address for name in names]
    listing = subprocess.check_output(["dpkg-query", "-L", *addresses], text=True)
    files = {}
    for line in listing.splitlines():
        if not line.startswith("/") or line == "/.":
            continue  # a remark on diversions
        path = f"/usr{line}" if line.split("/")[1] in _ALIASES else line
        if not _LEFT_OUT.match(f"{path}/") and not _LEFT_OUT.match(path):
            entry = _entry(Path(path))
            if entry:
                files[path] = entry
    return files


def _entry(path: Path) -> Entry | None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None  # excluded from this machine, as in a slim image
    mode = _MODES.get(str(path), stat.S_IMODE(status.st_mode))
    if stat.S_ISLNK(status.st_mode):
        return Entry(link=str(path.readlink()))
    return Entry(data=path if stat.S_ISREG(status.st_mode) else None, mode=mode)


def _libraries() -> dict[str, Entry]:
    """Return the shared libraries that any of the packages needs."""
    packages = _closure(name for name in _BASE if name not in _EMPTY)
    files = _files(*(name for name in packages if name not in _BASE))
    return {path: entry for path, entry in files.items() if ".so" in path and path[:5] == "/usr/"}


def _closure(names: Iterable[str]) -> list[str]:
    found = dict.fromkeys(names)
    queue = list(found)
    while queue:
        for need in _installed()[queue.pop()].needs:
            if need in _installed() and need not in found:
                found[need] = None
                queue.append(need)
    return list(found)


def _base_files(suite: str) -> dict[str, Entry]:
    release = f'PRETTY_NAME="Tiny Debian ({suite})"\nNAME="Debian GNU/Linux"\nID=debian\n'
    release += f'VERSION_ID="12"\nVERSION_CODENAME={suite}\n'
    return {
        **{f"/{name}": Entry(link=f"usr/{name}") for name in _ALIASES},
        **{f"/usr/{name}": FOLDER for name in _ALIASES},
        "/usr/lib/os-release": text(release),
        "/etc/os-release": Entry(link="../usr/lib/os-release"),
        "/etc/nsswitch.conf": text(
            "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"
        ),
    }


def _base_passwd() -> str:
    """Return the script that makes the first users, as Debian's base-passwd does."""
    masters = Path("/usr/share/base-passwd")
    seeds = {name: (masters / f"{name}.master").read_text() for name in ("passwd", "group")}
    if "_apt:" not in seeds["passwd"]:  # older ones leave it to apt
        seeds["passwd"] += "_apt:x:42:65534::/nonexistent:/usr/sbin/nologin\n"
    steps = [
        f"[ -e /etc/{name} ] || cat >/etc/{name} <<'EOF'\n{seed}EOF\n"
        for name, seed in seeds.items()
    ]
    return "#!/bin/sh\nset -e\n" + "".join(steps)


def _pam() -> dict[str, Entry]:
    """Return what libpam-runtime makes while it is configured: chpasswd asks PAM."""
    kinds = ("auth", "account", "password", "session")
    rules = {kind: f"{kind} required pam_unix.so\n" for kind in kinds}
    files = {f"/etc/pam.d/common-{kind}": text(rule) for kind, rule in rules.items()}
    return files | {"/etc/pam.d/other": text("".join(rules.values()))}


def _documentation(name: str) -> dict[str, Entry]:
    page = Entry(data=gzip.compress(f".TH {name} 1\n".encode(), mtime=0))
    share = "/usr/share"
    return {
        f"{share}/doc/{name}/copyright": text(f"{name}: see upstream\n"),
        f"{share}/doc/{name}/changelog.Debian.gz": page,
        f"{share}/man/man1/{name}.1.gz": page,
        f"{share}/man/fr/man1/{name}.1.gz": page,
        f"{share}/info/{name}.info.gz": page,
        f"{share}/lintian/overrides/{name}": text(f"{name}: no-manual-page\n"),
        f"{share}/locale/fr/LC_MESSAGES/{name}.mo": text("fr\n"),
    }
