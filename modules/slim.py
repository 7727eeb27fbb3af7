"""Documentation and translations, left out as in Debian's slim images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rootwright.module import Module, read_template
from rootwright.resource import Command, File, Resource

CONFIGURATION = "/etc/dpkg/dpkg.cfg.d/docker"


@dataclass(frozen=True, kw_only=True)
class Slim(Module):
    """Keep documentation, manuals, translations and lintian's notes out of the root.

    What is there is deleted, copyright files aside, and dpkg is told not to unpack such files
    again.

    enabled: False undoes it: the packages whose files are missing are installed again, from apt's
        sources, and dpkg's instructions removed. It costs nothing where it was never done.

    Source: debuerreotype's debuerreotype-slimify, .slimify-excludes and .slimify-includes.
    """

    enabled: bool = True

    def resources(self) -> Iterator[Resource]:
        """Yield the instructions and the deletion, or the undoing of both."""
        common = read_template("slim.sh")
        if not self.enabled:
            yield Command(
                "unslim",
                f"# bring documentation and translations back\n{common}\nsl_restore",
                unless=f"[ ! -e {CONFIGURATION} ]",
                reads=(CONFIGURATION,),
            )
            return
        yield File(CONFIGURATION, read_template("docker-slim"))
        yield Command(
            "slim",
            f"# delete documentation and translations\n{common}\nsl_delete",
            unless=f'{common}\n[ -z "$(sl_find -print -quit)" ]',
            reads=("/usr/share",),
            writes=("/usr/share",),
        )
