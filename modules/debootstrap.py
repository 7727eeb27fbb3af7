"""A Debian-like root from nothing."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from rootwright.errors import UsageError
from rootwright.module import UNRECORDED, Module, read_template
from rootwright.resource import Bootstrap, Resource, quote

DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
"""Where the package debian-archive-keyring has the keys that sign Debian's archive."""

_HOST = r"([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])"
_URL = re.compile(rf"https?://{_HOST}(:[0-9]{{1,5}})?(/[A-Za-z0-9._~+%=,-]+)*/?")
_SUITE = re.compile(r"[a-z0-9][a-z0-9+._-]*(/[a-z0-9][a-z0-9+._-]*)?")
_COMPONENT = re.compile(r"[a-z0-9][a-z0-9+._/-]*")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9]+)?")
_ARCHITECTURE = re.compile(r"[a-z0-9][a-z0-9-]*")
_ARMOR = re.compile(
    rb"-----BEGIN PGP PUBLIC KEY BLOCK-----[ \t]*\r?\n(.*?)-----END PGP PUBLIC KEY BLOCK-----",
    re.DOTALL,
)


def check_mirror(url: str, where: str) -> str:
    """Return a mirror's URL without a slash at its end.

    Raises UsageError naming `where` unless it is plain http or https, without user and password:
    it is shown, recorded, and an argument of tools, so they would be secrets no longer.
    """
    if "@" in url:
        raise UsageError(
            "a mirror's URL must not hold a user or a password",
            where=where,
            hint="let a proxy add them, and name it to the host's apt as Acquire::http::Proxy",
        )
    such_as = "http://mirror.example.org/debian"
    return _checked(url, _URL, "a mirror's URL", such_as, where).rstrip("/")


def check_suite(suite: str, where: str) -> str:
    """Return a suite's name; raises UsageError naming `where` when it cannot be one."""
    return _checked(suite, _SUITE, "a suite's name", "trixie", where)


def check_components(names: tuple[str, ...], where: str) -> tuple[str, ...]:
    """Return components' names; raises UsageError naming `where` unless each can be one."""
    if not names:
        raise UsageError("an archive without components is empty", where=where, hint="give main")
    return tuple(_checked(name, _COMPONENT, "a component", "main", where) for name in names)


def check_packages(names: tuple[str, ...], where: str) -> tuple[str, ...]:
    """Return names of packages; raises UsageError naming `where` unless each can be one.

    Source: Debian Policy 5.6.1.
    """
    such_as = "ca-certificates"
    return tuple(_checked(name, _PACKAGE, "a package's name", such_as, where) for name in names)


def check_architecture(name: str, where: str) -> str:
    """Return an architecture's name in dpkg's words; UsageError when it cannot be one."""
    return _checked(name, _ARCHITECTURE, "an architecture", "amd64", where)


def _checked(value: str, pattern: re.Pattern[str], what: str, such_as: str, where: str) -> str:
    if pattern.fullmatch(value) and len(value) <= 250:
        return value
    raise UsageError(f"{value!r} is not {what}", where=where, hint=f"something like {such_as}")


def binary_keyring(content: bytes, where: str) -> bytes:
    """Return an OpenPGP keyring in the binary form that every tool reads, from either form.

    Raises UsageError naming `where` when it is neither: a private key, GnuPG's keybox, a text.
    Source: RFC 9580, sections 6 (armor) and 4.2 (packet headers).
    """
    # The binary form begins with a byte that no text has.
    if content[:1] < b"\x80" and b"-----BEGIN PGP PUBLIC KEY BLOCK-----" in content:
        try:
            content = b"".join(map(_dearmor, _ARMOR.findall(content)))
        except binascii.Error:
            content = b""
    # A public key comes first: tag 6, in a header of the new format or of the old.
    if content and (content[0] == 0xC6 or content[0] & 0xFC == 0x98):
        return content
    raise UsageError(
        "the keyring holds no OpenPGP public key",
        where=where,
        hint="`gpg --export` writes one that can be used",
    )


def _dearmor(block: bytes) -> bytes:
    # Headers end at an empty line; the last line may be a checksum, which begins with "=".
    lines = block.replace(b"\r", b"").split(b"\n\n", 1)[-1].split(b"\n")
    data = b"".join(line.strip() for line in lines if not line.startswith(b"="))
    return base64.b64decode(data, validate=True)


@dataclass(frozen=True, kw_only=True)
class Debootstrap(Module):
    """Make a root of Debian, or of a relative of it, from nothing.

    mmdebstrap does it where the host has it, debootstrap otherwise; both give the same root, byte
    for byte. Before anything else is downloaded, the Release file of each suite is fetched and its
    signature checked, so that a suite that does not exist, a mirror that does not answer and an
    archive that was tampered with end it in the first seconds. The newest date in these files
    becomes the root's epoch.

    The root is made anew when the suite, its updates, components, packages, architecture, variant
    or keyring change. The mirrors are not among these: they say where the archive is fetched from,
    and the signatures hold them to the same archive.

    A copy of the new root is kept beside it, as a tar with its digest. When the root is to be made
    anew, with ``--fresh`` for one, and every Release file still says the same, it is unpacked
    instead.

    suite: such as ``trixie``, ``stable`` or ``sid``.
    mirror: the archive's URL.
    security_mirror: the URL of SUITE-security; empty leaves it out.
    updates: take SUITE-updates too, from the mirror.
    components: such as ``main``.
    packages: to be installed besides the base.
    architecture: in dpkg's words, such as ``amd64``.
    variant: ``minbase`` (required packages and apt) or ``buildd`` (and build-essential).
    tool: ``auto``, or the one to use.
    keyring: an OpenPGP keyring's content, armored or not; it travels to the host.
    host_keyring: the keyring on the host that is used otherwise.

    Source: mmdebstrap(1), debootstrap(8), sources.list(5).
    """

    on_host = "it makes a root from nothing"

    suite: str
    mirror: str = field(metadata=UNRECORDED)
    security_mirror: str = field(default="", metadata=UNRECORDED)
    updates: bool = True
    components: tuple[str, ...] = ("main",)
    packages: tuple[str, ...] = ()
    architecture: str
    variant: Literal["minbase", "buildd"] = "minbase"
    tool: Literal["auto", "mmdebstrap", "debootstrap"] = field(default="auto", metadata=UNRECORDED)
    keyring: bytes = field(default=b"", repr=False, metadata=UNRECORDED)
    host_keyring: str = field(default=DEBIAN_KEYRING, metadata=UNRECORDED)

    def sources(self) -> list[tuple[str, str]]:
        """Return the suites that make the root: pairs of URL and suite, the base first."""
        where = f"module {self.name}"
        mirror = check_mirror(self.mirror, where)
        suites = [(mirror, check_suite(self.suite, where))]
        if self.updates:
            suites.append((mirror, f"{self.suite}-updates"))
        if self.security_mirror:
            suites.append((check_mirror(self.security_mirror, where), f"{self.suite}-security"))
        return suites

    def stamp(self) -> str:
        """Return what decides the root's contents, one ``key=value`` a line."""
        keyring = hashlib.sha256(self.keyring).hexdigest() if self.keyring else self.host_keyring
        values = {
            "architecture": self.architecture,
            "components": " ".join(self.components),
            "keyring": keyring,
            "packages": " ".join(sorted(set(self.packages))),
            "suites": " ".join(suite for _, suite in self.sources()),
            "variant": self.variant,
        }
        return "".join(f"{key}={value}\n" for key, value in sorted(values.items()))

    def resources(self) -> Iterator[Resource]:
        """Yield the bootstrap."""
        where = f"module {self.name}"
        check_components(self.components, where)
        check_packages(self.packages, where)
        check_architecture(self.architecture, where)
        script = read_template("debootstrap.sh")
        settings = {
            "db_suite": self.suite,
            "db_sources": "\n".join(f"{url} {suite}" for url, suite in self.sources()),
            "db_components": " ".join(self.components),
            "db_packages": " ".join(sorted(set(self.packages))),
            "db_architecture": self.architecture,
            "db_variant": self.variant,
            "db_tool": self.tool,
            "db_host_keyring": self.host_keyring,
            "db_recipe": hashlib.sha256(script.encode()).hexdigest(),
        }
        lines = [f"# {self.suite} for {self.architecture}, from nothing"]
        lines += [f"{name}={quote(value)}" for name, value in settings.items()]
        if self.keyring:
            encoded = base64.b64encode(binary_keyring(self.keyring, where)).decode()
            lines.append(f'printf %s {encoded} | base64 -d >"$TMPDIR/keyring.gpg"')
        lines.append(script)
        yield Bootstrap("debootstrap", "\n".join(lines), stamp=self.stamp())
