"""What an inventory says, whatever its format: hosts, groups and variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from rootwright.errors import InventoryError

LOCALHOST = "localhost"
"""The name of this machine, which no inventory has to write."""

ALL = "all"
"""The name that stands for every host written in the inventory."""

Become = Literal["sudo", "none"]
BECOME: tuple[Become, ...] = ("sudo", "none")
"""The ways to become root."""


@dataclass(frozen=True)
class HostSpec:
    """What the inventory says of one host; None lets ``~/.ssh/config`` decide.

    name: how people call it, and what is looked up where there is no address.
    address: a host name or an IP address.
    port: the TCP port of sshd, 1 to 65535.
    user: the user to log in as.
    key: path of the private key, absolute: ``~`` is expanded, and a relative path starts at the
        folder of the inventory.
    become: how to become root there: ``sudo``, or ``none`` where the user is root already.
    vars: the host's own variables; `Inventory.variables` has those of its groups too.
    here: it is this machine, whatever its name.
    """

    name: str
    address: str | None = None
    port: int | None = None
    user: str | None = None
    key: str | None = None
    become: Become | None = None
    vars: Mapping[str, object] = field(default_factory=dict, hash=False)
    here: bool = False

    @property
    def local(self) -> bool:
        """Whether this is the machine we run on, reached without SSH."""
        return self.here or (self.name == LOCALHOST and self.address is None)


@dataclass(frozen=True)
class GroupSpec:
    """A named set of hosts, in the order written, and the variables they share."""

    name: str
    hosts: tuple[str, ...] = ()
    vars: Mapping[str, object] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Description:
    """What one inventory says.

    hosts: in order. groups: in order; where two set one variable, the later wins.
    variables: those of all hosts.
    foreign: it was written for another program: most variables mean nothing to us.
    refused: hosts that one cannot build on, by name, and why.
    """

    hosts: tuple[HostSpec, ...] = ()
    groups: tuple[GroupSpec, ...] = ()
    variables: Mapping[str, object] = field(default_factory=dict, hash=False)
    foreign: bool = False
    refused: Mapping[str, InventoryError] = field(default_factory=dict, hash=False)


def merged(description: Description) -> dict[str, dict[str, object]]:
    """Return all variables of each host: of all, of its groups, its own; the later wins."""
    named = [name for group in description.groups for name in group.hosts]
    names = dict.fromkeys([*(host.name for host in description.hosts), *named])
    variables = {name: dict(description.variables) for name in names}
    for group in description.groups:
        for name in group.hosts:
            variables[name] |= group.vars
    for host in description.hosts:
        variables[host.name] |= host.vars
    return variables
