"""The inventory: whom a name means, and which variables a host has."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from rootwright.errors import InventoryError
from rootwright.inventory.description import ALL, LOCALHOST, Description, GroupSpec, HostSpec
from rootwright.inventory.text import key_path, listed, near, shown
from rootwright.inventory.toml import MAX_BYTES, describe, read_toml

DEFAULT_PATH = Path("inventory/hosts.toml")
"""The inventory that is read when none is named, relative to the current folder."""


class Inventory:
    """The hosts and groups by name, in the order of the file.

    source: the file it was read from, None for the empty inventory.
    hosts: every host; localhost comes first unless the file writes it elsewhere.
    groups: every group.
    """

    def __init__(self, description: Description | None = None, source: Path | None = None) -> None:
        """Take what an inventory says; None is the empty one, localhost alone."""
        description = description or Description()
        written = {host.name: host for host in description.hosts}
        implicit = {} if LOCALHOST in written else {LOCALHOST: HostSpec(LOCALHOST)}
        self.source = source
        self.hosts: Mapping[str, HostSpec] = implicit | written
        self.groups: Mapping[str, GroupSpec] = {group.name: group for group in description.groups}
        self._written = tuple(written)
        self._variables = description.variables

    @classmethod
    def load(cls, path: Path | None, *, default: Path = DEFAULT_PATH) -> Inventory:
        """Read an inventory.

        path: the file a person named; it must exist. None reads `default` where that exists, and
            is the empty inventory where it does not.
        Raises InventoryError (exit code 2) for a file that cannot be read or makes no sense.
        """
        source = default if path is None else path
        try:
            with source.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            if path is None:
                return cls()
            what, hint = "there is no such inventory", "name a file that exists"
            raise InventoryError(what, where=shown(str(source)), hint=hint) from None
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            what = f"the inventory cannot be read: {getattr(error, 'strerror', None) or error}"
            hint = "name a TOML file that you may read"
            raise InventoryError(what, where=shown(str(source)), hint=hint) from None
        return cls(describe(read_toml(data, source), source), source)

    def select(self, names: Sequence[str]) -> list[HostSpec]:
        """Return the hosts meant by names of hosts and groups: none twice, order kept.

        ``all`` means every host that the file writes; no names at all mean localhost.
        Raises InventoryError for an unknown name, or one that no host is in.
        """
        chosen: dict[str, HostSpec] = {}
        for name in names or (LOCALHOST,):
            if name in self.hosts:
                members: tuple[str, ...] = (name,)
            elif name in self.groups:
                members = self.groups[name].hosts
            elif name == ALL:
                members = self._written
            else:
                self._unknown(name)
            if not members:
                what = f"no host is in {shown(name)}"
                raise InventoryError(what, where=self._where(), hint="add hosts to the inventory")
            chosen |= {member: self.hosts[member] for member in members}
        return list(chosen.values())

    def variables(self, host: HostSpec | str) -> dict[str, object]:
        """Return the variables of one host of this inventory: a playbook's options by name.

        The later wins: ``[all]``, then the host's groups in the order of the file, then the host.
        """
        spec = self.hosts[host] if isinstance(host, str) else host
        merged = dict(self._variables)
        for group in self.groups.values():
            if spec.name in group.hosts:
                merged |= group.vars
        return copy.deepcopy(merged | dict(spec.vars))

    def _where(self) -> str:
        return shown(str(self.source)) if self.source else "the inventory, which is empty"

    def _unknown(self, name: str) -> NoReturn:
        known = [*self.hosts, *self.groups]
        right = near(name, known) or f"describe it as [{key_path('hosts', name)}];"
        raise InventoryError(
            f"no host or group is called {shown(name)}",
            where=self._where(),
            hint=f"{right} known are {listed(known)}",
        )
