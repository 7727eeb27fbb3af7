"""Device nodes for those who start a root without an engine that brings its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rootwright.module import Module
from rootwright.resource import Device, Directory, Resource, Symlink

NODES = (
    ("null", 0o666, 1, 3),
    ("zero", 0o666, 1, 5),
    ("random", 0o666, 1, 8),
    ("urandom", 0o666, 1, 9),
    ("tty", 0o666, 5, 0),
    ("console", 0o600, 5, 1),
    ("tty0", 0o666, 4, 0),
    ("full", 0o666, 1, 7),
    ("ptmx", 0o666, 5, 2),
)
"""Name, mode, major and minor, as in moby's contrib/mkimage-arch.sh; the numbers are those of
Linux's Documentation/admin-guide/devices.txt."""


@dataclass(frozen=True, kw_only=True)
class DevNodes(Module):
    """Put the usual devices into /dev.

    Container engines mount a /dev of their own over it, and official images ship an empty one;
    chroot, LXC and systemd-nspawn are served by these. Where the host may not make them they are
    recorded, and the image has them all the same.

    initctl: also the FIFO through which sysvinit is told to change runlevels. Nothing in an image
        without sysvinit reads it, and with it in /dev, rootless Docker 20.10 could not start
        (moby issue 41803).
    Source: moby's contrib/mkimage-arch.sh.
    """

    on_host = "a running system's /dev is the kernel's and udev's"

    initctl: bool = False

    def resources(self) -> Iterator[Resource]:
        """Yield the folder, the devices, their folders and the link to a process's own files."""
        yield Directory("/dev")
        for name, mode, major, minor in NODES:
            yield Device(f"/dev/{name}", "c", major, minor, mode)
        if self.initctl:
            yield Device("/dev/initctl", "p", mode=0o600)
        yield Directory("/dev/pts", 0o755)
        yield Directory("/dev/shm", 0o1777)
        yield Symlink("/dev/fd", "/proc/self/fd")
