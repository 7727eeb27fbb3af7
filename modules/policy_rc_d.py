"""No daemon is started by installing its package."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rootwright.module import Module
from rootwright.resource import File, Resource

CONTENT = """\
#!/bin/sh

# For most Docker users, "apt-get install" only happens during "docker build",
# where starting services doesn't work and often fails in humorous ways. This
# prevents those failures by stopping the services from attempting to start.

exit 101
"""


@dataclass(frozen=True, kw_only=True)
class PolicyRcD(Module):
    """Forbid packages to start services, as Debian's own image does.

    invoke-rc.d asks /usr/sbin/policy-rc.d, and 101 means no. Put it before anything that installs
    packages.

    Source: debuerreotype's debuerreotype-minimizing-config.
    """

    on_host = "its services would not start again after an upgrade"

    def resources(self) -> Iterator[Resource]:
        """Yield the script."""
        yield File("/usr/sbin/policy-rc.d", CONTENT, 0o755)
