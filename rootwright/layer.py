"""A layer: the root as a tar stream whose size is known before its first byte, with its digest.

This file says what goes into a layer and writes the sh that a host runs to make it; it knows no
host. `rootwright.layer_stream` reads what comes back.
"""

from __future__ import annotations

import shlex
import tarfile
from dataclasses import dataclass
from typing import Literal

from rootwright.errors import UsageError
from rootwright.layer_stream import MARK
from rootwright.text import harmless

_NULS = "\\000" * 16
_KINDS = {"c": tarfile.CHRTYPE, "b": tarfile.BLKTYPE, "p": tarfile.FIFOTYPE}


@dataclass(frozen=True)
class Device:
    """A device or FIFO that the layer has whether or not the root could hold it.

    path: absolute, inside the root. kind: ``c`` character, ``b`` block, ``p`` FIFO.
    major, minor: the device's numbers, 0 for a FIFO. mode: permission bits. uid, gid: numeric.
    """

    path: str
    kind: Literal["c", "b", "p"]
    major: int
    minor: int
    mode: int
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class LayerSpec:
    """What a layer is made of.

    root: the root's absolute path on the host.
    epoch: seconds since 1970 (UTC); no time in the layer is later.
    exclude: paths inside the root to leave out, with what is below them. ``*``, ``?`` and ``[...]``
        match within one path component, a backslash takes the next character literally:
        ``/proc/*`` leaves out what is in /proc, keeps /proc itself, and says nothing of /usr/proc.
    devices: left out of what tar reads and recorded in front of it instead, so that the digest
        does not depend on whether the host allowed mknod.

    UsageError when a path is not absolute, or a device does not fit a tar header or comes twice.
    """

    root: str
    epoch: int
    exclude: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what tar would understand in another way than it was meant."""
        paths = [device.path for device in self.devices]
        for path in (self.root, *self.exclude, *paths):
            if not path.startswith("/") or "\0" in path or ".." in path.split("/"):
                raise UsageError(f"not an absolute path: {harmless(path)!r}", where="the layer")
        if len({_member(path) for path in paths}) != len(paths):
            raise UsageError("a device is listed twice", where="the layer")
        for path in (*self.exclude, *paths):
            if _member(path) == ".":
                raise UsageError("the root itself cannot be left out", where="the layer")
        self.headers()

    def headers(self) -> bytes:
        """Return the devices as ustar headers, in order of their paths."""
        ordered = sorted(self.devices, key=lambda device: _member(device.path).encode())
        return b"".join(_header(device, self.epoch) for device in ordered)


def _member(path: str) -> str:
    """Return a path inside the root as tar names it when it archives ``.``."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return "/".join([".", *parts])


def _header(device: Device, epoch: int) -> bytes:
    info = tarfile.TarInfo(_member(device.path))
    info.type = _KINDS[device.kind]
    info.mode, info.uid, info.gid, info.mtime = device.mode, device.uid, device.gid, epoch
    info.devmajor, info.devminor = device.major, device.minor
    try:
        return info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape")
    except ValueError as error:
        raise UsageError(
            f"the device {harmless(device.path)} does not fit a tar header: {error}"
        ) from error


def _printf(data: bytes) -> str:
    """Return the sh that prints data, by a printf format that every sh takes alike.

    NUL bytes are most of a tar header, so runs of them are a variable.
    """

    def one(byte: int) -> str:
        char = chr(byte)
        return char if char.isascii() and (char.isalnum() or char in "./_-") else f"\\{byte:03o}"

    if not data:
        return ":"
    text = "".join("%%" if byte == 0x25 else one(byte) for byte in data)
    return f"z='{_NULS}'; printf \"{text.replace(_NULS, '${z}')}\""


def _tar(spec: LayerSpec, *extra: str) -> str:
    """Return the tar command, as sh, that archives the root but not the devices recorded apart.

    Sources: GNU tar's manual, "Reproducibility", "Controlling Pattern-Matching"; ran with 1.34:
    - The name of a pax header holds tar's process id unless it is set.
    - ``--acls`` is left out on purpose: it records ACLs with the *names* that the host has for the
      numbers, even with --numeric-owner, so digests would differ from host to host; and engines
      read ACLs only from the extended attribute, which ``--xattrs`` keeps, numbers and all.
    - Larger records than 10 KiB save system calls; what follows the end is padded to 64 KiB.
    """
    words = [
        "tar",
        "--create",
        *extra,
        "--format=posix",
        "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
        "--blocking-factor=128",
        "--numeric-owner",
        "--sort=name",
        f"--mtime=@{spec.epoch}",
        "--clamp-mtime",
        "--xattrs",
        "--xattrs-include=*",
        "--xattrs-exclude=security.selinux",
        "--one-file-system",
        "--warning=no-file-ignored",  # sockets: they mean nothing outside the running system
        "--anchored",
        "--no-wildcards",
        *(f"--exclude={_member(device.path)}" for device in spec.devices),
        "--wildcards",
        "--no-wildcards-match-slash",
        *(f"--exclude={_member(path)}" for path in spec.exclude),
        f"--directory={spec.root}",
        ".",
    ]
    return shlex.join(words)


# Everything runs in a subshell, so that the shell that reads a script keeps its own environment.
# TAR_OPTIONS would add options of the host's owner; messages must be in the language we read.
_ENVIRONMENT = "unset TAR_OPTIONS POSIXLY_CORRECT; LC_ALL=C TZ=UTC0; export LC_ALL TZ"

# OpenSSL uses the processor's SHA instructions, many a sha256sum does not (Debian 12: 1.4 and
# 0.5 GB/s, ran). It is asked for a digest everyone knows first, so that a broken one is passed by.
_HASH = f"""{{
  case $(openssl dgst -sha256 -r </dev/null 2>/dev/null) in
    e3b0c44298fc1c14*) h=$(openssl dgst -sha256 -r);;
    *) h=$(sha256sum);;
  esac
  echo "{MARK} sha256 ${{h%% *}}"
}}"""


def size_script(spec: LayerSpec) -> str:
    """Return the sh that prints what `read_size` reads: how long the stream will be.

    tar reads no file's contents when it writes to /dev/null, so this takes a moment.
    """
    return f"""(
{_ENVIRONMENT}
{_tar(spec, "--totals", "--file=/dev/null")} 2>&1
echo "{MARK} tar $?"
echo "{MARK} headers {len(spec.headers())}"
)"""


def digest_script(spec: LayerSpec) -> str:
    """Return the sh that prints what `read_digest` reads: the stream's length and digest.

    The stream itself goes nowhere.
    """
    return f"""(
{_ENVIRONMENT}
{{ {{
  {_printf(spec.headers())}
  {_tar(spec, "--totals", "--file=-")} 2>&4
  echo "{MARK} tar $?" >&4
}} | {_HASH} >&4; }} 4>&1
echo "{MARK} headers {len(spec.headers())}"
)"""


def stream_script(spec: LayerSpec) -> str:
    """Return the sh whose stdout is the stream and whose stderr ends with what `LayerStream` reads.

    The digest is taken in the same pass. tee opens the pipe to sha256sum by its number and gets
    the real stdout ready-made: opening /dev/stdout fails where it is a socket, as under sshd.
    """
    return f"""(
{_ENVIRONMENT}
{{ {{ {{
  {_printf(spec.headers())}
  {_tar(spec, "--file=-")}
  echo "{MARK} tar $?" >&2
}} | {{ tee /dev/fd/6 >&5; echo "{MARK} tee $?" >&2; }}; }} 6>&1 |
{_HASH} >&2; }} 5>&1
)"""
