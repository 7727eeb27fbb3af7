"""Arch Linux, from pacstrap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from rootwright.errors import UsageError
from rootwright.module import Module
from rootwright.modules.devnodes import DevNodes
from rootwright.modules.keyring import LEFTOVERS, SECRETS, Keyring
from rootwright.modules.ldconfig import Ldconfig
from rootwright.modules.locale import BUILT_IN, Locale
from rootwright.modules.machine_id import MachineId
from rootwright.modules.mirrorlist import Mirrorlist, servers
from rootwright.modules.os_release import OsRelease
from rootwright.modules.packages import Packages
from rootwright.modules.pacman_conf import PacmanConf
from rootwright.modules.pacman_lock import PacmanLock
from rootwright.modules.pacstrap import Pacstrap, read_keyring
from rootwright.modules.prune import Prune
from rootwright.modules.root_account import RootAccount
from rootwright.modules.sysusers import Sysusers
from rootwright.modules.timezone import Timezone
from rootwright.playbook import VOLATILE, ImageConfig, Recipe, playbook
from rootwright.resource.files import own_path
from rootwright.text import harmless

GEO_MIRROR = "https://geo.mirror.pkgbuild.com"
"""Arch's own mirror, which answers from a place near to whoever asks. It has x86_64 only."""

SPARE = (
    *("cryptsetup", "device-mapper", "dhcpcd", "iproute2", "jfsutils", "linux", "lvm2", "man-db"),
    *("man-pages", "mdadm", "nano", "netctl", "openresolv", "pciutils", "pcmciautils"),
    *("reiserfsprogs", "s-nail", "systemd-sysvcompat", "usbutils", "vi", "xfsprogs"),
)
"""What moby's contrib/mkimage-arch.sh does not install: what a container has no use for.

Some are gone from Arch since; some have become libraries that systemd needs, and stay.
"""

COMMANDS = {
    "pacstrap": {"apt": "arch-install-scripts", "pacman": "arch-install-scripts"},
    "pacman": {"apt": "pacman-package-manager", "pacman": "pacman"},
    "gpg": {"apt": "gpg", "pacman": "gnupg"},
    "gpg-agent": {"apt": "gpg-agent", "pacman": "gnupg"},
}
"""What a host needs to build with, and the package of each, by package manager."""

TOOLS = {
    family: tuple(dict.fromkeys(packages[family] for packages in COMMANDS.values()))
    for family in ("apt", "pacman")
}
"""The packages of those commands, by package manager."""

DOCKER_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7h": "arm", "i686": "386"}
"""What pacman calls an architecture, and what Docker does."""

NOT_THE_KERNELS = ("armv7h", "i686")
"""Architectures that pacman cannot tell from the kernel's word: armv7l, or that of 64 bits."""

LABELS = {
    "org.opencontainers.image.title": "Arch Linux",
    "org.opencontainers.image.description": "A base image of Arch Linux, made from its packages",
    "org.opencontainers.image.url": "https://archlinux.org",
    "org.opencontainers.image.documentation": "https://wiki.archlinux.org/title/Docker",
    "org.opencontainers.image.version": "{date}",
    "org.opencontainers.image.created": "{time}",
}


@playbook(tools=COMMANDS)
def arch(
    host: Mapping[str, str],
    *,
    mirror: Sequence[str] = (GEO_MIRROR,),
    image_mirror: Sequence[str] | None = None,
    repositories: Sequence[str] = ("core", "extra"),
    packages: Sequence[str] = ("base",),
    ignore: Sequence[str] | None = None,
    keyring: str | None = None,
    keyring_name: str = "archlinux",
    keyring_state: Literal["ready", "empty", "private"] = "ready",
    lang: str = "C.UTF-8",
    locales: Sequence[str] = ("en_US.UTF-8",),
    timezone: str = "UTC",
    slim: bool = True,
    devnodes: bool = False,
    haveged: bool = False,
    architecture: str | None = None,
    labels: Sequence[str] = (),
) -> Recipe:
    """Arch Linux, from its own packages, as the script mkimage-arch.sh makes it and better.

    Every package's signature is checked. The build host may be an Arch, a Debian or an Ubuntu.

    mirror: where packages come from, in order of preference; /$repo/os/$arch is appended where
      $repo is not named. Other mirrors make the root anew
    image_mirror: what the image's own pacman uses; the mirror unless given
    repositories: in order of precedence
    packages: packages and groups; others make the root anew
    ignore: what not to install: an error where something needs it; unless given, what a container
      has no use for, as far as nothing needs it
    keyring: a folder, on this machine, with archlinux.gpg, archlinux-trusted and
      archlinux-revoked, whose keys packages are signed with; the host's package archlinux-keyring
      unless given
    keyring_name: what these files begin with, there and in the image, such as archlinuxarm
    keyring_state: of the image's pacman; ready can check signatures at once, empty makes the same
      image every time and needs pacman-key --init and --populate, private keeps the private key
    lang: the default locale; it is generated where it has to be
    locales: to be generated
    timezone: a name of the tz database
    slim: leave out documentation and translations, now and when the image installs more
    devnodes: put device nodes into /dev, for chroot, LXC and systemd-nspawn
    haveged: feed the random number generator while keys are made, for kernels before 5.6
    architecture: in pacman's words, such as x86_64; the host's unless given
    labels: further labels of the image, each as NAME=VALUE
    """
    machine = architecture or host.get("arch", "").replace("armv7l", "armv7h") or "x86_64"
    if machine not in DOCKER_ARCHITECTURES:
        known = ", ".join(DOCKER_ARCHITECTURES)
        raise UsageError(
            f"no image can be for {machine!r}", where="option architecture", hint=known
        )
    if machine != "x86_64" and GEO_MIRROR in mirror:
        raise UsageError(
            f"Arch's own mirrors have x86_64 only, not {machine}",
            where="option mirror",
            hint="give the mirror of a port of Arch with --mirror, and its keys with --keyring",
        )
    urls = servers(tuple(mirror))
    keys = (
        read_keyring(own_path(keyring, f"option keyring, {harmless(keyring)}"), keyring_name)
        if keyring
        else {}
    )
    generate = tuple(locales) + (() if lang in BUILT_IN or lang in locales else (lang,))
    feed = haveged and keyring_state != "empty"
    profile = "slim" if slim else ""
    modules: list[Module] = [
        Pacstrap(
            packages=(*packages, *(["haveged"] if feed else [])),
            ignore=() if ignore is None else tuple(ignore),
            spare=tuple(p for p in SPARE if p not in packages) if ignore is None else (),
            repositories=tuple(repositories),
            urls=urls,
            architecture=machine,
            profile=profile,
            keyring=keys,
            keyring_name=keyring_name,
        ),
        PacmanLock(),
        PacmanConf(
            repositories=tuple(repositories),
            architecture=machine if machine in NOT_THE_KERNELS else "auto",
            profile=profile,
        ),
        Mirrorlist(urls=servers(tuple(image_mirror)) if image_mirror else urls),
        Sysusers(),
        OsRelease(),
        Ldconfig(),
        Timezone(zone=timezone),
        Locale(lang=lang, generate=generate),
        Keyring(state=keyring_state, keyring=keyring_name, haveged=feed),
        RootAccount(),
        MachineId(),
        *([DevNodes()] if devnodes else []),
        Prune(),
    ]
    return Recipe(
        host=[Packages(names=_tools(bool(keys)))],
        root=modules,
        image=ImageConfig(
            cmd=("/usr/bin/bash",),
            env={"LANG": lang},
            labels={**LABELS, **_labels(labels)},
            exclude=_exclude(devnodes=devnodes, private=keyring_state == "private"),
        ),
        architecture=DOCKER_ARCHITECTURES[machine],
    )


def _tools(keys: bool) -> dict[str, tuple[str, ...]]:
    """Return what the host needs; keys: whether it need not have Arch's."""
    more = () if keys else ("archlinux-keyring",)
    return {family: (*names, *more) for family, names in TOOLS.items()}


def _labels(given: Sequence[str]) -> dict[str, str]:
    pairs = [label.partition("=") for label in given]
    for name, equals, value in pairs:
        if not name or not equals:
            raise UsageError(
                f"{name + value!r} is no label", where="option labels", hint="give NAME=VALUE"
            )
    return {name: value for name, _, value in pairs}


def _exclude(*, devnodes: bool, private: bool) -> tuple[str, ...]:
    """Return what no image of Arch carries: archlinux-docker's ``exclude``."""
    volatile = [path for path in VOLATILE if not (devnodes and path == "/dev/*")]
    return (*volatile, "/etc/hostname", *LEFTOVERS, *(() if private else SECRETS))
