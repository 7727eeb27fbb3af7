"""What each package needs beyond Debian's files: what Debian's maintainer scripts would have done,
and Arch's own configuration.

`edit` is the only entrance; a package without a function here is taken as Debian made it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from rootwright.errors import StepError
from rootwright.sample_mirror import texts
from rootwright.sample_mirror.tree import Entry, Tree

EPOCH = 1_700_000_000
"""The date of everything made here rather than by Debian: fixed, so that it never differs."""

INSTALL: Mapping[str, str] = {
    "archlinux-keyring": texts.KEYRING_INSTALL,
    "glibc": texts.GLIBC_INSTALL,
}
"""The scriptlets, by package."""


def edit(name: str, tree: Tree) -> None:
    """Bring the files of the package called `name` into Arch's shape, in place."""
    if name in _EDITS:
        _EDITS[name](tree)


def _file(text: str | bytes, mode: int = 0o644) -> Entry:
    data = text.encode() if isinstance(text, str) else text
    return Entry("file", mode=mode, mtime=EPOCH, data=data)


def _dir(mode: int = 0o755) -> Entry:
    return Entry("dir", mode=mode, mtime=EPOCH)


def _link(target: str) -> Entry:
    return Entry("link", mode=0o777, mtime=EPOCH, target=target)


def _pam(tree: Tree, names: Iterable[str]) -> None:
    for name in names:
        tree[f"etc/pam.d/{name}"] = _file(texts.pam(name))


def _filesystem(tree: Tree) -> None:
    plain = (
        "boot dev etc/ld.so.conf.d etc/profile.d etc/skel home mnt opt run srv srv/http usr/bin "
        "usr/include usr/lib usr/local/bin usr/local/etc usr/local/games usr/local/include "
        "usr/local/lib usr/local/man usr/local/sbin usr/local/share usr/local/src usr/share/misc "
        "usr/src var/cache var/empty var/lib/misc var/local var/log var/log/old var/opt var/spool"
    )
    tree.update({path: _dir() for path in plain.split()})
    tree.update({f"usr/share/man/man{section}": _dir() for section in range(1, 9)})
    tree.update({"proc": _dir(0o555), "sys": _dir(0o555), "root": _dir(0o750)})
    tree.update({path: _dir(0o1777) for path in ("tmp", "var/tmp", "var/spool/mail")})
    tree["srv/ftp"] = replace(_dir(0o555), gid=11)
    tree["var/games"] = replace(_dir(0o775), gid=50)
    links = {
        "bin": "usr/bin",
        "sbin": "usr/bin",
        "lib": "usr/lib",
        "lib64": "usr/lib",
        "usr/sbin": "bin",
        "usr/lib64": "lib",
        "var/lock": "../run/lock",
        "var/mail": "spool/mail",
        "var/run": "../run",
        "etc/mtab": "../proc/self/mounts",
        "etc/os-release": "../usr/lib/os-release",
    }
    tree.update({path: _link(target) for path, target in links.items()})
    files = {
        "etc/arch-release": "",
        "etc/crypttab": "# Configuration for encrypted block devices. See crypttab(5).\n",
        "etc/fstab": "# Static information about the filesystems. See fstab(5).\n",
        "etc/group": texts.GROUP,
        "etc/host.conf": "multi on\n",
        "etc/hosts": texts.HOSTS,
        "etc/issue": texts.ISSUE,
        "etc/motd": "",
        "etc/nsswitch.conf": texts.NSSWITCH,
        "etc/passwd": texts.PASSWD,
        "etc/profile": texts.PROFILE,
        "etc/profile.d/locale.sh": texts.PROFILE_LOCALE,
        "etc/resolv.conf": "# Resolver configuration file. See resolv.conf(5).\n",
        "etc/securetty": "console\ntty1\n",
        "etc/shells": "/bin/sh\n/bin/bash\n/usr/bin/sh\n/usr/bin/bash\n",
        "usr/lib/os-release": texts.OS_RELEASE,
    }
    tree.update({path: _file(text) for path, text in files.items()})
    tree["etc/shadow"] = _file(texts.SHADOW, 0o600)
    tree["etc/gshadow"] = _file(texts.GSHADOW, 0o600)


def _glibc(tree: Tree) -> None:
    supported = _text(tree, "glibc", "usr/share/i18n/SUPPORTED")
    lines = [line for line in supported.splitlines() if line and not line.startswith("#")]
    tree["etc/locale.gen"] = _file(
        texts.LOCALE_GEN_HEAD + "".join(f"#{line}  \n" for line in lines)
    )
    tree["usr/lib/locale"] = _dir()
    tree["var/cache/ldconfig"] = _dir(0o700)


def _ca_certificates(tree: Tree) -> None:
    certificates = [
        entry.data
        for path, entry in sorted(tree.items())
        if path.startswith("usr/share/ca-certificates/") and path.endswith(".crt")
    ]
    if not certificates:
        raise StepError("Debian's ca-certificates brings no certificates where they used to be.")
    tree["etc/ssl/certs/ca-certificates.crt"] = _file(b"".join(certificates))
    tree["etc/ssl/cert.pem"] = _link("certs/ca-certificates.crt")
    # The tool that would gather them needs Debian's run-parts; the bundle above is its result.
    for path in [path for path in tree if path.endswith("update-ca-certificates")]:
        del tree[path]


def _pacman(tree: Tree) -> None:
    path = "usr/bin/pacman-key"
    script = _text(tree, "pacman", path)
    # Debian looks for keyrings where it keeps its own.
    moved = script.replace("/usr/share/keyrings", "/usr/share/pacman/keyrings")
    tree[path] = replace(tree[path], data=moved.encode())
    tree["etc/pacman.conf"] = _file(texts.PACMAN_CONF)
    tree["usr/lib/sysusers.d/alpm.conf"] = _file(texts.ALPM_USER)
    for folder in ("var/cache/pacman/pkg", "var/lib/pacman", "usr/share/libalpm/hooks"):
        tree[folder] = _dir()


def _iputils(tree: Tree) -> None:
    # cap_net_raw=ep, as Debian's postinst sets it: struct vfs_cap_data of linux/capability.h,
    # revision 2 with the effective bit, permitted = 1 << CAP_NET_RAW (13).
    capability = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)
    tree["usr/bin/ping"] = replace(tree["usr/bin/ping"], capability=capability)


def _openssh(tree: Tree) -> None:
    # Debian's postinst copies this one into place.
    tree["etc/ssh/sshd_config"] = replace(tree["usr/share/openssh/sshd_config"], mode=0o644)
    tree["etc/ssh/sshd_config.d"] = _dir()
    tree["usr/lib/sysusers.d/sshd.conf"] = _file(texts.SSHD_USER)
    tree["usr/lib/tmpfiles.d/sshd.conf"] = _file(texts.SSHD_RUN)
    _pam(tree, ["sshd"])


def _sudo(tree: Tree) -> None:
    tree["etc/sudoers"] = _file(texts.SUDOERS, 0o440)
    tree["etc/sudoers.d"] = _dir(0o750)
    _pam(tree, ["sudo", "sudo-i"])


def _systemd(tree: Tree) -> None:
    hooks = "usr/share/libalpm/hooks"
    tree[f"{hooks}/20-systemd-sysusers.hook"] = _file(texts.SYSUSERS_HOOK)
    tree[f"{hooks}/30-systemd-tmpfiles.hook"] = _file(texts.TMPFILES_HOOK)


def _tar(tree: Tree) -> None:
    del tree["etc/rmt"]  # a link to one that update-alternatives would make


def _util_linux(tree: Tree) -> None:
    _pam(tree, ["su", "su-l", "runuser", "runuser-l"])


def _shadow(tree: Tree) -> None:
    _pam(tree, ["chfn", "chpasswd", "chsh", "login", "newusers", "passwd"])


def _linked(path: str, target: str) -> Callable[[Tree], None]:
    """Return the edit that makes a link update-alternatives would have made, or Arch's own."""

    def make(tree: Tree) -> None:
        tree[path] = _link(target)

    return make


def _mirrorlist(tree: Tree) -> None:
    tree["etc/pacman.d/mirrorlist"] = _file(texts.MIRRORLIST)


def _pambase(tree: Tree) -> None:
    _pam(tree, texts.PAM_SYSTEM)


def _text(tree: Tree, name: str, path: str) -> str:
    if path not in tree:
        raise StepError(
            f"Debian's part of {name} has no /{path}.",
            hint="the sample mirror does not know this release of Debian or Ubuntu",
        )
    return tree[path].data.decode()


_EDITS: Mapping[str, Callable[[Tree], None]] = {
    "bash": _linked("usr/bin/sh", "bash"),
    "ca-certificates": _ca_certificates,
    "filesystem": _filesystem,
    "gawk": _linked("usr/bin/awk", "gawk"),
    "glibc": _glibc,
    "iputils": _iputils,
    "openssh": _openssh,
    "pacman": _pacman,
    "pacman-mirrorlist": _mirrorlist,
    "pambase": _pambase,
    "pinentry": _linked("usr/bin/pinentry", "pinentry-curses"),
    "shadow": _shadow,
    "sudo": _sudo,
    "systemd": _systemd,
    "tar": _tar,
    "util-linux": _util_linux,
}
