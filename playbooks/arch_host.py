"""A build host that runs Arch Linux."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rootwright.errors import UsageError
from rootwright.module import Module
from rootwright.modules.locale import BUILT_IN, Locale
from rootwright.modules.mirrorlist import Mirrorlist
from rootwright.modules.packages import Packages
from rootwright.modules.timezone import Timezone
from rootwright.playbook import Recipe, playbook
from rootwright.playbooks.arch import TOOLS


@playbook(ships=False)
def arch_host(
    host: Mapping[str, str],
    *,
    mirror: Sequence[str] = (),
    packages: Sequence[str] = (),
    lang: str | None = None,
    locales: Sequence[str] = (),
    timezone: str | None = None,
) -> Recipe:
    """Prepare an Arch host for building: its tools, and what else is asked for.

    What is not asked for stays as it is.

    mirror: mirrors for the host's own pacman, in order of preference
    packages: to be installed besides the tools
    lang: the default locale, as it is unless given; with locales given it is generated, too
    locales: to be generated; others that were are removed
    timezone: a name of the tz database; as it is unless given
    """
    systems = {host.get("os", ""), *host.get("os_like", "").split()}
    if "arch" not in systems:
        raise UsageError(
            "the host does not run Arch Linux",
            where="playbook arch_host",
            hint="its os-release names it neither in ID nor in ID_LIKE",
        )
    modules: list[Module] = [Mirrorlist(urls=tuple(mirror))] if mirror else []
    modules.append(Packages(names={"pacman": (*TOOLS["pacman"], *packages)}))
    if timezone:
        modules.append(Timezone(zone=timezone))
    if lang or locales:
        default = lang or "C.UTF-8"
        missing = () if default in BUILT_IN or default in locales else (default,)
        generate = (*locales, *missing) if locales else None
        modules.append(Locale(lang=default, generate=generate))
    return Recipe(host=modules)
