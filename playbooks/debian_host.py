"""A Debian or Ubuntu build host, prepared in advance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rootwright.modules.locale import Locale
from rootwright.modules.packages import Packages
from rootwright.modules.timezone import Timezone
from rootwright.playbook import Recipe, playbook

BUILD_TOOLS = ("mmdebstrap", "debian-archive-keyring", "util-linux", "tar")
"""What a build needs that a minimal system may lack."""


@playbook()
def debian_host(
    _host: Mapping[str, str],
    *,
    packages: Sequence[str] = BUILD_TOOLS,
    lang: str = "C.UTF-8",
    timezone: str = "Etc/UTC",
) -> Recipe:
    """A Debian build host: its own / gets the tools, the locale and the time zone.

    The same modules that make an image work on a host: only the root is another one.

    packages: to be there; nothing is removed
    lang: the host's default locale
    timezone: the host's, a name of the tz database
    """
    return Recipe(
        host=[Packages(names=tuple(packages)), Timezone(zone=timezone), Locale(lang=lang)]
    )
