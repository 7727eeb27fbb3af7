"""The time zone."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass

from rootwright.module import Module
from rootwright.resource import File, Resource, Symlink

_ZONE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]*(/[A-Za-z0-9][A-Za-z0-9_+-]*){0,2}")


@dataclass(frozen=True, kw_only=True)
class Timezone(Module):
    """Set the time zone.

    zone: a name of the tz database, such as ``Etc/UTC`` or ``Europe/Paris``.

    /etc/localtime becomes a link into /usr/share/zoneinfo, where the zone must exist; where the
    root has an /etc/timezone (Debian up to 12, and some programs), it says the same.
    Source: localtime(5), timezone(5) of Debian's tzdata.
    """

    zone: str = "Etc/UTC"

    def resources(self) -> Iterator[Resource]:
        """Yield the link, and the file where there is one."""
        # What this machine knows of zones is asked only where it knows any.
        known = zoneinfo.available_timezones()
        if not _ZONE.fullmatch(self.zone) or (known and self.zone not in known):
            raise self.refuse(f"there is no time zone {self.zone!r}", "something like Europe/Paris")
        yield Symlink("/etc/localtime", f"/usr/share/zoneinfo/{self.zone}", must_exist=True)
        yield File("/etc/timezone", f"{self.zone}\n", if_exists=True)
