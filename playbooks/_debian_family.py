"""What Debian and its relatives have in common: the archive is data, the recipe is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rootwright.errors import UsageError
from rootwright.module import Module
from rootwright.modules.apt_conf import AptConf
from rootwright.modules.apt_sources import AptSource, AptSources
from rootwright.modules.debootstrap import (
    Debootstrap,
    binary_keyring,
    check_architecture,
    check_components,
    check_mirror,
    check_packages,
    check_suite,
)
from rootwright.modules.directory import Directory
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
from rootwright.playbook import VOLATILE, Fact, ImageConfig, Recipe
from rootwright.resource.files import own_path, read_content
from rootwright.text import harmless

GIVEN_KEYRING = "/etc/apt/keyrings/archive.gpg"
"""Where an image has the keyring that was given for it."""

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

EXCLUDE = tuple(path for path in VOLATILE if path != "/run/*")
"""What stays out of an image. /run/lock, all that is in /run, belongs to Debian's base system:
/var/lock leads there."""

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


TOOLS = {"mmdebstrap": "mmdebstrap", "debootstrap": "debootstrap"}
"""What can make a root, and the packages that bring it; one of them is enough."""


@dataclass(frozen=True)
class Archive:
    """What tells one distribution's archive from another's.

    name: for people. os: its ID in /etc/os-release, which is also the image's hostname.
    label, security_label: as its Release files say; one label where security updates share it.
    keyring, keyring_package: where its keys are, on hosts and in roots, and what brings them.
    rolling: suites that have neither updates nor security updates of their own.
    packages: what every image needs and minbase does not bring.
    mirror, ports_mirror: where it is when nothing on the host says so; empty where the bootstrap
        tools know. ports_mirror has the architectures that are not in ``main_architectures``.
    """

    name: str
    os: str
    label: str
    security_label: str
    keyring: str
    keyring_package: str
    rolling: Sequence[str] = ()
    mirror: str = ""
    ports_mirror: str = ""
    main_architectures: Sequence[str] = ()
    packages: Sequence[str] = ()


@dataclass(frozen=True)
class Options:
    """What every playbook of this family is asked; the playbooks say what each means."""

    suite: str
    mirror: str | None = None
    security_mirror: str | None = None
    updates: bool = True
    image_mirror: str | None = None
    image_security_mirror: str | None = None
    components: Sequence[str] = ("main",)
    packages: Sequence[str] = ()
    lang: str = "C.UTF-8"
    locales: Sequence[str] = ()
    timezone: str = "Etc/UTC"
    slim: bool = False
    architecture: str | None = None
    keyring: str | None = None
    tool: Literal["auto", "mmdebstrap", "debootstrap"] = "auto"


@dataclass(frozen=True)
class Mirrors:
    """Where a host fetches Debian from; empty where it does not say."""

    main: str = ""
    security: str = ""


def mirrors_of(host: Mapping[str, str], archive: Archive) -> Mirrors:
    """Return the mirrors that the host's own apt uses, else the defaults.

    host: facts. Archives are told apart by their labels; where apt never fetched its lists and so
    knows none, by their suites: the main archive is the one that has updates too.
    """
    files = dict(line.split(" ", 1) for line in _lines(host, "apt_mirror_files", " "))
    targets = [line.split(" ", 2) for line in _lines(host, "apt_targets", " ")]
    labelled = [(uri, label) for uri, _, label in (t for t in targets if len(t) == 3)]
    main = [uri for uri, label in labelled if label == archive.label]
    security = [uri for uri, label in labelled if label == archive.security_label]
    if host.get("os") == archive.os and not main:
        suites = [line.rsplit(" ", 1) for line in _lines(host, "apt_suites", " ")]
        main = [uri for uri, suite in suites if suite.endswith("-updates")]
        security = [uri for uri, suite in suites if suite.endswith("-security")]
        main = main or [uri for uri, suite in suites if suite == host.get("codename")]
    return Mirrors(_first_http(main, files), _first_http(security, files))


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


def recipe(host: Mapping[str, str], archive: Archive, options: Options) -> Recipe:
    """Return what a playbook of this family wants.

    Raises UsageError for options that make no sense, or a mirror that nobody names.
    """
    o = options
    check_suite(o.suite, "option suite")
    rolling = o.suite in archive.rolling
    arch = o.architecture or host.get("dpkg_architecture") or _debian_name(host.get("arch", ""))
    check_architecture(arch, "option architecture")
    found = mirrors_of(host, archive)
    default, default_security = _defaults(host, archive, arch)
    why = f"the build host's apt names no mirror of {archive.name}"
    base = _mirror(o.mirror, found.main or default, "mirror", why)
    security = ""
    if not rolling and o.security_mirror != "none":
        why += "'s security updates"
        usual = found.security or default_security
        security = _mirror(o.security_mirror, usual, "security_mirror", why, " or none")
    image_base = _mirror(o.image_mirror, base, "image_mirror", "")
    image_security = security and _mirror(
        o.image_security_mirror, security, "image_security_mirror", ""
    )
    parts = check_components(tuple(o.components), "option components")
    keys = _read_keyring(o.keyring)
    signed_by = GIVEN_KEYRING if keys else archive.keyring
    lang_alone = () if o.lang in BUILT_IN or o.lang in o.locales else (o.lang,)
    generate = (*o.locales, *lang_alone)
    wanted = check_packages((*archive.packages, *o.packages), "option packages")
    if any(name not in BUILT_IN for name in generate):
        wanted += ("locales",)
    updates = o.updates and not rolling
    suites = (o.suite, *([f"{o.suite}-updates"] if updates else []))
    entries = [AptSource(uri=image_base, suites=suites, components=parts, signed_by=signed_by)]
    if image_security:
        entries.append(
            AptSource(
                uri=image_security,
                suites=(f"{o.suite}-security",),
                components=parts,
                signed_by=signed_by,
            )
        )
    modules: list[Module] = [
        Debootstrap(
            suite=o.suite,
            mirror=base,
            security_mirror=security,
            updates=updates,
            components=parts,
            packages=tuple(sorted(set(wanted))),
            architecture=arch,
            tool=o.tool,
            keyring=keys,
            host_keyring=archive.keyring,
        ),
        PolicyRcD(),
        AptConf(),
        *(_given_keyring(keys) if keys else []),
        AptSources(entries=tuple(entries), filename=f"{archive.os}.sources"),
        Slim(enabled=o.slim),
        Timezone(zone=o.timezone),
        Locale(lang=o.lang, generate=generate),
        RootAccount(),
        Hostname(hostname=archive.os),
        MachineId(),
        Prune(),
    ]
    return Recipe(
        host=_tools(host, archive, o.tool, keys),
        root=modules,
        image=ImageConfig(
            cmd=("bash",),
            env={"PATH": PATH, "LANG": o.lang},
            exclude=EXCLUDE,
            labels={
                "org.opencontainers.image.title": archive.name,
                "org.opencontainers.image.description": f"{archive.name} {o.suite}"
                + (", without documentation and translations" if o.slim else ""),
                "org.opencontainers.image.version": o.suite,
                "org.opencontainers.image.created": "{time}",
            },
        ),
        architecture=DOCKER_ARCHITECTURES.get(arch, arch),
    )


def _defaults(host: Mapping[str, str], archive: Archive, architecture: str) -> tuple[str, str]:
    """Return where the archive and its security updates are when the host's apt does not say."""
    if archive.main_architectures and architecture not in archive.main_architectures:
        return archive.ports_mirror, archive.ports_mirror
    if archive.mirror:
        return archive.mirror, archive.mirror
    return host.get("tool_mirror", ""), host.get("tool_security_mirror", "")


def _mirror(given: str | None, default: str, option: str, lack: str, other: str = "") -> str:
    if not given and not default:
        name = option.replace("_", "-")
        raise UsageError(
            lack, where=f"option {option}", hint=f"say which, with --{name} URL{other}"
        )
    return check_mirror(given or default, f"option {option}")


def _debian_name(machine: str) -> str:
    return ARCHITECTURES.get(machine, machine)


def _given_keyring(keys: bytes) -> list[Module]:
    # An apt older than 2.4, such as those of bullseye and focal, does not come with the folder.
    folder = GIVEN_KEYRING.rpartition("/")[0]
    return [Directory(path=folder), File(path=GIVEN_KEYRING, content=keys)]


def _read_keyring(path: str | None) -> bytes:
    if not path:
        return b""
    where = f"option keyring, {harmless(path)}"
    hint = "give a file on this machine that you may read, such as `gpg --export` writes"
    content = read_content(own_path(path, where), "the keyring", where, hint)
    return binary_keyring(content, where)


def _tools(host: Mapping[str, str], archive: Archive, tool: str, keys: bytes) -> list[Module]:
    """Return what the host needs: the tool it has, or mmdebstrap, and the archive's keys."""
    present = [path.rpartition("/")[2] for path in host.get("bootstrap_tools", "").split()]
    keyring = () if keys else (archive.keyring_package,)
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
