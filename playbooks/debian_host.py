"""A Debian or Ubuntu build host, prepared in advance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rootwright.module import Module
from rootwright.modules.locale import Locale
from rootwright.modules.packages import Packages
from rootwright.modules.timezone import Timezone
from rootwright.playbook import Recipe, playbook

BUILD_TOOLS = ("mmdebstrap", "debian-archive-keyring", "util-linux", "tar")
"""What a build needs that a minimal system may lack."""


@playbook(ships=False)
def debian_host(
    _host: Mapping[str, str],
    *,
    packages: Sequence[str] = BUILD_TOOLS,
    lang: str | None = None,
    timezone: str | None = None,
) -> Recipe:
    """Prepare a Debian or Ubuntu host for building: its tools, and what else is asked for.

    What is not asked for stays as it is. The same modules that make an image work on a host: only
    the root is another one.

    packages: to be there; nothing is removed
    lang: the host's default locale; as it is unless given
    timezone: a name of the tz database; as it is unless given
    """
    modules: list[Module] = [Packages(names=tuple(packages))]
    if timezone:
        modules.append(Timezone(zone=timezone))
    if lang:
        modules.append(Locale(lang=lang))
    return Recipe(host=modules)
