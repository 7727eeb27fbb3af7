"""What the sample mirror holds: Arch's package names, and the Debian packages each is made of.

Data only. What a Debian package needs is read from Debian's own ``Depends``; a library that no
line here names becomes a package under its Debian name, so that the table survives the renaming
of libraries from one release to the next.

Sources: the package lists of Arch's ``core`` and ``extra`` for names and for what ``base`` is;
the ignore list of moby's ``contrib/mkimage-arch.sh``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Package:
    """One package of the mirror.

    name: its name on Arch.
    repo: the repository that offers it, ``core`` or ``extra``.
    debian: the Debian packages it is made of; one that ends in ``?`` may be missing from a release.
    only: globs; when there are any, of the Debian packages only these paths are taken.
    depends: Arch packages it needs besides what Debian's dependencies already say.
    sealed: Debian's dependencies are left aside: `depends` is the whole list.
    provides: further names it answers to.
    """

    name: str
    repo: str = "core"
    debian: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    sealed: bool = False
    provides: tuple[str, ...] = ()
    description: str = field(default="")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


REPOSITORIES = ("core", "extra")

BASE = _words(
    "archlinux-keyring bash bzip2 coreutils file filesystem findutils gawk gcc-libs gettext glibc "
    "grep gzip iproute2 iputils licenses pacman pciutils procps-ng psmisc sed shadow systemd "
    "systemd-sysvcompat tar util-linux xz"
)
"""What Arch's package ``base`` depends on (PKGBUILD of base 3-2), in its order."""

IGNORED = _words(
    "cryptsetup device-mapper dhcpcd iproute2 jfsutils linux lvm2 man-db man-pages mdadm nano "
    "netctl openresolv pciutils pcmciautils reiserfsprogs s-nail systemd-sysvcompat usbutils vi "
    "xfsprogs"
)
"""The ignore list of ``mkimage-arch.sh``: the members of the old group that an image can miss."""

GROUP = tuple(dict.fromkeys([*BASE, *(name for name in IGNORED if name != "nano")]))
"""The members of the old group ``base``. nano stays out of it, so that installing it afterwards
proves something."""

_EMPTY: Mapping[str, tuple[str, ...]] = {
    "cryptsetup": ("device-mapper", "util-linux-libs"),
    "device-mapper": ("glibc",),
    "dhcpcd": ("glibc", "bash"),
    "jfsutils": ("util-linux-libs",),
    "linux": ("coreutils",),
    "lvm2": ("bash", "device-mapper", "readline"),
    "man-db": ("bash", "zlib", "man-pages"),
    "man-pages": (),
    "mdadm": ("glibc",),
    "netctl": ("coreutils", "iproute2", "openresolv", "systemd"),
    "openresolv": ("bash",),
    "pcmciautils": ("systemd",),
    "reiserfsprogs": ("util-linux-libs",),
    "s-nail": ("openssl",),
    "systemd-sysvcompat": ("systemd",),
    "usbutils": ("systemd-libs", "hwdata"),
    "vi": ("ncurses",),
    "xfsprogs": ("util-linux-libs",),
}

PACKAGES: tuple[Package, ...] = (
    # The ground: made here, not by Debian.
    Package(name="filesystem", depends=("iana-etc",), description="The first files of a system"),
    Package(name="iana-etc", debian=("netbase",), only=("etc/*",), sealed=True),
    Package(name="pacman-mirrorlist", depends=("filesystem",), description="A list of no mirrors"),
    Package(name="archlinux-keyring", depends=("pacman",), description="Throwaway signing keys"),
    Package(name="pambase", depends=("pam",), description="The common PAM configuration"),
    Package(
        name="licenses",
        debian=("base-files",),
        only=("usr/share/common-licenses/*",),
        sealed=True,
    ),
    # libc6 needs libgcc and libcrypt only when a thread is cancelled; the cycle stays out.
    Package(
        name="glibc",
        debian=("libc6", "libc-bin", "locales", "libc-l10n"),
        depends=("filesystem", "tzdata"),
        sealed=True,
    ),
    Package(name="tzdata", debian=("tzdata", "tzdata-legacy?"), depends=("filesystem",)),
    Package(name="ca-certificates", debian=("ca-certificates",), sealed=True),
    # What pacman and every shell script leans on.
    Package(name="bash", debian=("bash",), provides=("sh",)),
    Package(name="bzip2", debian=("bzip2",)),
    Package(name="coreutils", debian=("coreutils",)),
    Package(name="curl", debian=("curl",), depends=("ca-certificates",)),
    Package(name="file", debian=("file",)),
    Package(name="findutils", debian=("findutils",)),
    Package(name="gawk", debian=("gawk",), provides=("awk",)),
    Package(name="gettext", debian=("gettext-base",)),
    Package(name="gnupg", debian=("gpg", "gpg-agent", "gpgconf", "gpgv")),
    Package(name="gpgme", depends=("gnupg",)),
    Package(name="grep", debian=("grep",)),
    Package(name="gzip", debian=("gzip",)),
    Package(name="libarchive", debian=("libarchive-tools",)),
    Package(name="ncurses", debian=("ncurses-base", "ncurses-bin")),
    Package(name="openssl", debian=("openssl",)),
    Package(
        name="pacman",
        debian=("pacman-package-manager", "makepkg"),
        depends=(
            "bash",
            "ca-certificates",
            "coreutils",
            "curl",
            "gawk",
            "gettext",
            "gnupg",
            "gpgme",
            "grep",
            "libarchive",
            "pacman-mirrorlist",
            "sed",
            "systemd",
        ),
    ),
    Package(name="pinentry", debian=("pinentry-curses",)),
    Package(name="sed", debian=("sed",)),
    Package(name="tar", debian=("tar",)),
    Package(name="xz", debian=("xz-utils",)),
    Package(name="zstd", debian=("zstd",)),
    # The rest of base.
    Package(name="iproute2", debian=("iproute2",)),
    Package(name="iputils", debian=("iputils-ping",)),
    Package(name="pciutils", debian=("pciutils",)),
    Package(name="procps-ng", debian=("procps",)),
    Package(name="psmisc", debian=("psmisc",)),
    Package(name="shadow", debian=("passwd", "login", "login.defs?"), depends=("pambase",)),
    Package(
        name="systemd",
        debian=("systemd-standalone-sysusers", "systemd-standalone-tmpfiles"),
        description="systemd-sysusers and systemd-tmpfiles alone; there is no init here",
    ),
    Package(
        name="util-linux",
        debian=(
            *("util-linux", "mount", "bsdutils", "bsdextrautils", "fdisk"),
            "util-linux-extra?",
        ),
        depends=("coreutils", "pambase", "shadow"),
    ),
    # Beyond base: what a build host and a person asking for more need.
    Package(name="sudo", debian=("sudo",), depends=("pambase",)),
    Package(name="arch-install-scripts", repo="extra", debian=("arch-install-scripts",)),
    Package(name="haveged", repo="extra", debian=("haveged",)),
    Package(name="nano", repo="extra", debian=("nano",)),
    Package(
        name="openssh",
        repo="extra",
        debian=("openssh-client", "openssh-server", "openssh-sftp-server"),
        depends=("pambase",),
    ),
    *(
        Package(name=name, depends=depends, description="An empty stand-in")
        for name, depends in _EMPTY.items()
    ),
)

LIBRARIES: Mapping[str, tuple[str, ...]] = {
    # Arch's name: globs over the names Debian gives its libraries, whatever the release.
    "acl": ("libacl1*",),
    "attr": ("libattr1*",),
    "audit": ("libaudit1*", "libaudit-common"),
    "brotli": ("libbrotli1*",),
    "bzip2": ("libbz2-1.0*",),
    "curl": ("libcurl4*", "libcurl3*"),
    "db5.3": ("libdb5.3*",),
    "e2fsprogs": ("libcom-err2*",),
    "file": ("libmagic*",),
    "gcc-libs": ("gcc-*-base", "libgcc-s1", "libstdc++6", "libgomp1", "libatomic1"),
    "gmp": ("libgmp10*",),
    "gnutls": ("libgnutls30*",),
    "gpgme": ("libgpgme[0-9]*",),
    "hwdata": ("pci.ids",),
    "icu": ("libicu[0-9]*",),
    "iptables": ("libxtables*",),
    "keyutils": ("libkeyutils1*",),
    "kmod": ("libkmod2*",),
    "krb5": ("libgssapi-krb5-*", "libkrb5-*", "libkrb5support*", "libk5crypto*"),
    "libarchive": ("libarchive13*",),
    "libassuan": ("libassuan[0-9]*",),
    "libbpf": ("libbpf[0-9]*",),
    "libbsd": ("libbsd0*",),
    "libcap": ("libcap2*",),
    "libcap-ng": ("libcap-ng0*",),
    "libcbor": ("libcbor*",),
    "libedit": ("libedit2*",),
    "libelf": ("libelf1*",),
    "libffi": ("libffi[0-9]*",),
    "libfido2": ("libfido2-*",),
    "libgcrypt": ("libgcrypt20*",),
    "libgpg-error": ("libgpg-error0*",),
    "libidn2": ("libidn2-0*",),
    "libldap": ("libldap*",),
    "libmd": ("libmd0*",),
    "libmnl": ("libmnl0*",),
    "libnghttp2": ("libnghttp2-*",),
    "libnghttp3": ("libnghttp3-*",),
    "libpsl": ("libpsl5*",),
    "libsasl": ("libsasl2-*",),
    "libselinux": ("libselinux1*",),
    "libsemanage": ("libsemanage*",),
    "libsepol": ("libsepol*",),
    "libsigsegv": ("libsigsegv2*",),
    "libssh2": ("libssh2-*",),
    "libtasn1": ("libtasn1-*",),
    "libtirpc": ("libtirpc*",),
    "libunistring": ("libunistring*",),
    "libxcrypt": ("libcrypt1*",),
    "libxml2": ("libxml2*",),
    "lz4": ("liblz4-1*",),
    "mpfr": ("libmpfr6*",),
    "ncurses": ("libtinfo6*", "libncurses*"),
    "nettle": ("libnettle*", "libhogweed*"),
    "npth": ("libnpth0*",),
    "openssl": ("libssl3*", "openssl-provider-*"),
    "p11-kit": ("libp11-kit0*",),
    "pacman": ("libalpm[0-9]*",),
    "pam": ("libpam0g*", "libpam-modules*"),
    "pciutils": ("libpci3*",),
    "pcre": ("libpcre3*",),
    "pcre2": ("libpcre2-*",),
    "procps-ng": ("libproc2-*", "libprocps*"),
    "readline": ("libreadline8*", "readline-common"),
    "rtmpdump": ("librtmp1*",),
    "shadow": ("libsubid*",),
    "sqlite": ("libsqlite3-0*",),
    "systemd-libs": ("libsystemd0*", "libudev1*"),
    "tcp-wrappers": ("libwrap0*",),
    "util-linux-libs": ("libuuid1*", "libblkid1*", "libmount1*", "libsmartcols1*", "libfdisk1*"),
    "xxhash": ("libxxhash0*",),
    "xz": ("liblzma5*",),
    "zlib": ("zlib1g*",),
    "zstd": ("libzstd1*",),
}

UNNEEDED = (
    # Debian packages whose part somebody else plays here, or that only Debian's maintainer
    # scripts need: nobody runs those on this mirror.
    "adduser",
    "base-files",
    "base-passwd",
    "cdebconf",
    "dash",
    "debconf*",
    "debianutils",
    "debugedit",
    "default-logind",
    "dpkg",
    "fakeroot",
    "gnupg",
    "init-system-helpers",
    "install-info",
    "libdebconfclient0",
    "libpam-runtime",
    "libpam-systemd",
    "logsave",
    "lsb-base",
    "media-types",
    "patch",
    "perl",
    "perl-base",
    "pkgconf",
    "pkg-config",
    "runit-helper",
    "sensible-utils",
    "sysvinit-utils",
    "texinfo",
    "ucf",
)
