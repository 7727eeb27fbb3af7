"""The inventory: whom a name means, and which variables a host has."""

from __future__ import annotations

import codecs
import copy
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from rootwright.errors import InventoryError
from rootwright.inventory import ansible, toml
from rootwright.inventory.ansible_value import flaw_of, literal
from rootwright.inventory.description import (
    ALL,
    LOCALHOST,
    Description,
    GroupSpec,
    HostSpec,
    merged,
)
from rootwright.inventory.source import Program, is_program, read_file
from rootwright.inventory.text import key_path, listed, near, shown

DEFAULT_PATH = Path("inventory/hosts.toml")
"""The inventory that is read when none is named, relative to the current folder."""


class Inventory:
    """The hosts and groups by name, in the order of the file.

    source: the file it was read from, None for the empty inventory.
    hosts: every host; localhost comes first unless the file writes it elsewhere.
    groups: every group.
    foreign: it was written for Ansible: what is no playbook's option means nothing to us.
    refused: hosts that one cannot build on, by name, and why.
    """

    def __init__(self, description: Description | None = None, source: Path | None = None) -> None:
        """Take what an inventory says; None is the empty one, localhost alone."""
        description = description or Description()
        written = {host.name: host for host in description.hosts}
        implicit = {} if LOCALHOST in written else {LOCALHOST: HostSpec(LOCALHOST)}
        self.source = source
        self.foreign = description.foreign
        self.refused = description.refused
        self.hosts: Mapping[str, HostSpec] = implicit | written
        self.groups: Mapping[str, GroupSpec] = {group.name: group for group in description.groups}
        self._written = tuple(written)
        self._variables = {LOCALHOST: dict(description.variables)} | merged(description)

    @classmethod
    def load(cls, path: Path | None, *, default: Path = DEFAULT_PATH) -> Inventory:
        """Read an inventory.

        One that is executable is run, one whose name ends in ``.json`` or whose text begins with
        a brace is JSON, any other is TOML.

        path: the file a person named; it must exist. None reads `default` where that exists, and
            is the empty inventory where it does not.
        Raises InventoryError (exit code 2) for one that cannot be read or makes no sense.
        """
        source = default if path is None else path
        try:
            return cls(_described(source), source)
        except FileNotFoundError:
            if path is None:
                return cls()
            what, hint = "there is no such inventory", "name a file that exists"
            raise InventoryError(what, where=shown(str(source)), hint=hint) from None

    def select(self, names: Sequence[str]) -> list[HostSpec]:
        """Return the hosts meant by names of hosts and groups: none twice, order kept.

        ``all`` means every host that the file writes; no names at all mean localhost.
        Raises InventoryError for an unknown name, one that no host is in, or a refused host.
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
            for member in members:
                if member in self.refused:
                    raise self.refused[member]
            chosen |= {member: self.hosts[member] for member in members}
        return list(chosen.values())

    def variables(self, host: HostSpec | str) -> dict[str, object]:
        """Return the variables of one host of this inventory, those of its groups included.

        The later wins: those of all, then of the host's groups in their order, then of the host.
        """
        name = host if isinstance(host, str) else host.name
        return copy.deepcopy(self._variables[name])

    def options(self, host: HostSpec, names: Container[str]) -> dict[str, object]:
        """Return those of a host's variables that have one of these names.

        Raises InventoryError for one that only Ansible can work out.
        """
        mine = {name: value for name, value in self.variables(host).items() if name in names}
        if not self.foreign:
            return mine
        for name, value in mine.items():
            if flaw := flaw_of(value):
                raise InventoryError(
                    f"the value {flaw}",
                    where=f"{self._where()}: {shown(host.name)}, {shown(name)}",
                    hint="write what it comes to, or give the option on the command line",
                )
        return {name: literal(value) for name, value in mine.items()}

    def _where(self) -> str:
        return shown(str(self.source)) if self.source else "the inventory, which is empty"

    def _unknown(self, name: str) -> NoReturn:
        known = [*self.hosts, *self.groups]
        # One that Ansible or a program described is described there.
        describe = "" if self.foreign else f"describe it as [{key_path('hosts', name)}];"
        right = [near(name, known) or describe, f"known are {listed(known)}"]
        raise InventoryError(
            f"no host or group is called {shown(name)}",
            where=self._where(),
            hint=" ".join(filter(None, right)),
        )


def _described(source: Path) -> Description:
    where = shown(str(source))
    if is_program(source):
        program = Program(source)

        def ask(host: str) -> Mapping[str, object]:
            said = program.ask("--host", host)
            return ansible.read_json(said, f"{where} --host {shown(host)}") if said.strip() else {}

        return ansible.describe(
            ansible.read_json(program.ask("--list"), f"{where} --list"), source, ask
        )
    data = read_file(source)
    if source.suffix == ".json" or data.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{"):
        return ansible.describe(ansible.read_json(data, where), source)
    return toml.describe(toml.read_toml(data, source), source)
