"""Debian, from its archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rootwright.errors import UsageError
from rootwright.module import Module
from rootwright.modules.apt_conf import AptConf
from rootwright.modules.apt_sources import AptSource, AptSources
from rootwright.modules.debootstrap import (
    DEBIAN_KEYRING,
    Debootstrap,
    binary_keyring,
    check_architecture,
    check_components,
    check_mirror,
    check_packages,
    check_suite,
)
from rootwright.modules.file import File
from rootwright.modules.hostname import Hostname
from rootwright.modules.locale import BUILT_IN, Locale
from rootwright.modules.machine_id import MachineId
from rootwright.modules.packages import Packages
from rootwright.modules.policy_rc_d import PolicyRcD
from rootwright.modules.prune import Prune
from rootwright.modules.root_account import RootAccount
from rootwright.modules.slim import Slim
from rootwright.modules.timezone import Timezone
from rootwright.playbook import Fact, ImageConfig, Recipe, playbook

STABLE = "trixie"
"""Debian's current stable release."""

ROLLING = ("sid", "unstable", "experimental", "rc-buggy")
"""Suites that have neither updates nor security updates of their own."""

GIVEN_KEYRING = "/etc/apt/keyrings/archive.gpg"
"""Where an image has the keyring that was given for it."""

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "armhf",
    "i686": "i386",
    "ppc64le": "ppc64el",
}
"""What the kernel calls a machine, and what Debian does, where the two differ."""

DOCKER_ARCHITECTURES = {
    "armhf": "arm",
    "armel": "arm",
    "i386": "386",
    "ppc64el": "ppc64le",
    "mips64el": "mips64le",
}
"""What Debian calls an architecture, and what Docker does, where the two differ."""

FACTS = (
    Fact("dpkg_architecture", "dpkg --print-architecture"),
    # With the archives' own labels, but only when their lists were ever fetched …
    Fact(
        "apt_targets",
        "apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(LABEL)' 'Created-By: Packages'",
    ),
    # … and without.
    Fact(
        "apt_suites",
        "apt-get update --print-uris | "
        "sed -n \"s,^'\\(.*\\)/dists/\\(.*\\)/InRelease'.*,\\1 \\2,p\"",
    ),
    # Some clouds name their mirrors in a file: its first line stands for it.
    Fact(
        "apt_mirror_files",
        "for f in /etc/apt/mirrors/*.list; do printf '%s ' \"$f\"; "
        "sed -n 's/[[:space:]].*//; /^http/ { p; q; }' \"$f\" | grep . || echo; done",
    ),
    Fact("bootstrap_tools", "command -v mmdebstrap; command -v debootstrap"),
    # The tools' own default mirrors, for hosts that are no Debian.
    Fact(
        "tool_mirror",
        'f=$(command -v mmdebstrap) && sed -n "s/^ *my \\$mirror *= \'\\(.*\\)\';$/\\1/p" "$f" | '
        "grep . || { f=$(command -v debootstrap) && "
        'sed -n \'s/^DEF_MIRROR="\\(.*\\)"$/\\1/p\' "$f"; }',
    ),
    Fact(
        "tool_security_mirror",
        'f=$(command -v mmdebstrap) && sed -n "s/^ *my \\$secmirror *= \'\\(.*\\)\';$/\\1/p" "$f"',
    ),
)


@dataclass(frozen=True)
class Mirrors:
    """Where a host fetches Debian from; empty where it does not say."""

    main: str = ""
    security: str = ""


def mirrors_of(host: Mapping[str, str]) -> Mirrors:
    """Return the mirrors that the host's own apt uses, else the bootstrap tool's own default.

    host: facts. Archives are told apart by their labels; where apt never fetched its lists and so
    knows none, by their suites: Debian's main archive is the one that has updates too.
    """
    files = dict(line.split(" ", 1) for line in _lines(host, "apt_mirror_files", " "))
    labelled = [line.split(" ", 2) for line in _lines(host, "apt_targets", " ")]
    main = [uri for uri, _, label in (t for t in labelled if len(t) == 3) if label == "Debian"]
    security = [t[0] for t in labelled if len(t) == 3 and t[2] == "Debian-Security"]
    if host.get("os") == "debian" and not main:
        suites = [line.rsplit(" ", 1) for line in _lines(host, "apt_suites", " ")]
        main = [uri for uri, suite in suites if suite.endswith("-updates")]
        security = [uri for uri, suite in suites if suite.endswith("-security")]
        main = main or [uri for uri, suite in suites if suite == host.get("codename")]
    return Mirrors(
        _first_http(main, files) or host.get("tool_mirror", ""),
        _first_http(security, files) or host.get("tool_security_mirror", ""),
    )


def _lines(host: Mapping[str, str], fact: str, holding: str) -> list[str]:
    return [line for line in host.get(fact, "").splitlines() if holding in line.strip()]


def _first_http(uris: Sequence[str], files: Mapping[str, str]) -> str:
    """Return the first URI that is, or whose mirror file names, an http or https URL."""
    for uri in uris:
        path = uri.removeprefix("mirror+file:").rstrip("/")
        found = files.get("/" + path.lstrip("/"), "") if path != uri.rstrip("/") else uri
        if found.startswith(("http://", "https://")):
            return found.strip().rstrip("/")
    return ""


@playbook(facts=FACTS)
def debian(
    host: Mapping[str, str],
    *,
    suite: str = STABLE,
    mirror: str | None = None,
    security_mirror: str | None = None,
    updates: bool = True,
    image_mirror: str | None = None,
    image_security_mirror: str | None = None,
    components: Sequence[str] = ("main",),
    packages: Sequence[str] = (),
    lang: str = "C.UTF-8",
    locales: Sequence[str] = (),
    timezone: str = "Etc/UTC",
    slim: bool = False,
    architecture: str | None = None,
    keyring: str | None = None,
    tool: Literal["auto", "mmdebstrap", "debootstrap"] = "auto",
) -> Recipe:
    """Debian, from its own archive: the required packages, apt, and what is asked for.

    Security updates and updates are in the image, and in its sources.

    suite: the release, by its name or as stable, testing, unstable
    mirror: the archive to build from; the host's own apt's where it has one
    security_mirror: the archive of security updates; none leaves them out
    updates: take SUITE-updates too
    image_mirror: the archive the image's own apt uses; the mirror unless given
    image_security_mirror: the same for security updates
    components: of the archive
    packages: to be installed besides the base
    lang: the default locale; it is generated where it has to be
    locales: to be generated, such as en_US.UTF-8
    timezone: a name of the tz database
    slim: leave out documentation and translations
    architecture: in Debian's words, such as arm64; the host's unless given
    keyring: a file, on this machine, with the keys the archive is signed with; Debian's own unless
      given
    tool: what makes the root; mmdebstrap where the host has it
    """
    check_suite(suite, "option suite")
    rolling = suite in ROLLING
    found = mirrors_of(host)
    base = _mirror(mirror, found.main, "mirror", "the build host's apt names no Debian mirror")
    if rolling or security_mirror == "none":
        security = ""
    else:
        why = "the build host's apt names no mirror of Debian's security updates"
        security = _mirror(security_mirror, found.security, "security_mirror", why, " or none")
    image_base = _mirror(image_mirror, base, "image_mirror", "")
    image_security = security and _mirror(
        image_security_mirror, security, "image_security_mirror", ""
    )
    arch = architecture or host.get("dpkg_architecture") or _debian_name(host.get("arch", ""))
    check_architecture(arch, "option architecture")
    parts = check_components(tuple(components), "option components")
    keys = _read_keyring(keyring)
    signed_by = GIVEN_KEYRING if keys else DEBIAN_KEYRING
    generate = tuple(locales) + (() if lang in BUILT_IN or lang in locales else (lang,))
    wanted = check_packages(tuple(packages), "option packages")
    if any(name not in BUILT_IN for name in generate):
        wanted += ("locales",)
    suites = (suite, *([f"{suite}-updates"] if updates and not rolling else []))
    entries = [AptSource(uri=image_base, suites=suites, components=parts, signed_by=signed_by)]
    if image_security:
        entries.append(
            AptSource(
                uri=image_security,
                suites=(f"{suite}-security",),
                components=parts,
                signed_by=signed_by,
            )
        )
    modules: list[Module] = [
        Debootstrap(
            suite=suite,
            mirror=base,
            security_mirror=security,
            updates=updates and not rolling,
            components=parts,
            packages=tuple(sorted(set(wanted))),
            architecture=arch,
            tool=tool,
            keyring=keys,
        ),
        PolicyRcD(),
        AptConf(),
        *([File(path=GIVEN_KEYRING, content=keys)] if keys else []),
        AptSources(entries=tuple(entries)),
        Slim(enabled=slim),
        Timezone(zone=timezone),
        Locale(lang=lang, generate=generate),
        RootAccount(),
        Hostname(hostname="debian"),
        MachineId(),
        Prune(),
    ]
    return Recipe(
        host=_tools(host, tool, keys),
        root=modules,
        image=ImageConfig(
            cmd=("bash",),
            env={"PATH": PATH, "LANG": lang},
            labels={
                "org.opencontainers.image.title": "Debian",
                "org.opencontainers.image.description": f"Debian {suite}"
                + (", without documentation and translations" if slim else ""),
                "org.opencontainers.image.version": suite,
            },
        ),
        architecture=DOCKER_ARCHITECTURES.get(arch, arch),
    )


def _mirror(given: str | None, default: str, option: str, lack: str, other: str = "") -> str:
    if not given and not default:
        name = option.replace("_", "-")
        raise UsageError(
            lack, where=f"option {option}", hint=f"say which, with --{name} URL{other}"
        )
    return check_mirror(given or default, f"option {option}")


def _debian_name(machine: str) -> str:
    return ARCHITECTURES.get(machine, machine)


def _read_keyring(path: str | None) -> bytes:
    if not path:
        return b""
    try:
        content = Path(path).expanduser().read_bytes()
    except OSError as e:
        raise UsageError(
            f"the keyring cannot be read: {e.strerror}", where=f"option keyring, {path}"
        ) from None
    return binary_keyring(content, f"option keyring, {path}")


def _tools(host: Mapping[str, str], tool: str, keys: bytes) -> list[Module]:
    """Return what the host needs: the tool it has, or mmdebstrap, and Debian's keys."""
    present = [path.rpartition("/")[2] for path in host.get("bootstrap_tools", "").split()]
    keyring = () if keys else ("debian-archive-keyring",)
    if tool != "auto":
        return [Packages(names=(tool, *keyring))]
    chosen = next((name for name in ("mmdebstrap", "debootstrap") if name in present), "")
    return [
        Packages(
            names={
                "apt": (chosen or "mmdebstrap", *keyring),
                "pacman": (chosen or "debootstrap", *keyring),
            }
        )
    ]
