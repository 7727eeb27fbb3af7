"""An inventory in the form of Ansible's dynamic ones: JSON that a file holds or a program prints.

Sources: "Developing dynamic inventory" and "How variables are merged" in Ansible's documentation,
its inventory plugin ``script``. How a host is reached is read in `ansible_host`.
"""

from __future__ import annotations

import graphlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from rootwright.errors import InventoryError
from rootwright.inventory.ansible_host import OWN, host_spec
from rootwright.inventory.checks import Checks, kind
from rootwright.inventory.description import ALL, Description, GroupSpec, HostSpec, merged
from rootwright.inventory.source import decoded
from rootwright.inventory.text import key_path, listed, shown

META = "_meta"
"""The key that holds no group, but the variables of hosts."""

UNGROUPED = "ungrouped"
"""The group of hosts that are in no other one."""

_MAX_DEPTH = 50  # of lists and tables in one another
_PRIORITY = f"{OWN}group_priority"
_RIGHT = "`ansible-inventory -i FILE --list` prints what is right"

HostVariables = Callable[[str], Mapping[str, object]]
"""Says the variables of a host that the inventory itself does not say."""


def read_json(data: bytes, where: str) -> dict[str, object]:
    """Return JSON text as a plain mapping.

    where: what to name in errors.
    Raises InventoryError with the line where there is one.
    """
    text = decoded(data, where)
    try:
        found = json.loads(text)
    except RecursionError:
        found = None
        reason = "it is nested too deeply"
    except json.JSONDecodeError as error:
        where += f":{error.lineno}"
        reason = error.msg
    except ValueError as error:  # integers too long for Python to read
        reason = str(error)
    else:
        if isinstance(found, dict) and not _too_deep(found):
            return found
        reason = "it is nested too deeply" if isinstance(found, dict) else f"it is {kind(found)}"
    what = f"the inventory is not the JSON it must be: {reason}"
    raise InventoryError(what, where=where, hint=_RIGHT)


def _too_deep(found: object) -> bool:
    layer = [found]
    for _ in range(_MAX_DEPTH):
        tables = [item.values() for item in layer if isinstance(item, dict)]
        lists = [item for item in layer if isinstance(item, list)]
        layer = list(chain.from_iterable([*tables, *lists]))
    return bool(layer)


def describe(
    document: Mapping[str, object], source: Path, ask: HostVariables | None = None
) -> Description:
    """Return what a plain mapping says.

    document: groups by name, and ``_meta``.
    source: the inventory to name in errors.
    ask: says the variables of a host where there is no ``_meta``; without it a host has none.
    Raises InventoryError naming file, key and what would be right.
    """
    return _Reader(source).description(document, ask or (lambda _: {}))


@dataclass
class _Group:
    """A group as it is written, and what follows from the groups around it.

    depth: how many groups one is in, at most, before one is in this one.
    """

    name: str
    hosts: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    vars: dict[str, object] = field(default_factory=dict)
    priority: int = 1
    depth: int = 0


class _Reader(Checks):
    """Checks a plain mapping."""

    def description(self, document: Mapping[str, object], ask: HostVariables) -> Description:
        groups = {ALL: _Group(ALL), UNGROUPED: _Group(UNGROUPED)}
        for name, value in document.items():
            if name != META:
                groups[name] = self.group(name, value)
        for child in [child for group in groups.values() for child in group.children]:
            groups.setdefault(child, _Group(child))
        names = list(dict.fromkeys(host for group in groups.values() for host in group.hosts))
        order = self.order(groups)
        _inherit(groups, order)
        grouped = {h for g in groups.values() if g.name not in (ALL, UNGROUPED) for h in g.hosts}
        groups[UNGROUPED].hosts = [name for name in names if name not in grouped]
        variables = self.host_variables(document, names, ask)
        shared = groups.pop(ALL).vars
        # This is Ansible's order of precedence.
        ordered = sorted(groups.values(), key=lambda g: (g.depth, g.priority, g.name))
        written = Description(
            tuple(HostSpec(name, vars=variables[name]) for name in names),
            tuple(
                GroupSpec(group.name, tuple(group.hosts), group.vars)
                for group in ordered
                if group.hosts or group.name != UNGROUPED
            ),
            shared,
            foreign=True,
        )
        return self.understood(written)

    def group(self, name: str, value: object) -> _Group:
        if isinstance(value, list):  # the oldest form: its hosts alone
            value = {"hosts": value}
        table = self.table(key_path("", name), value)
        if not {"hosts", "vars", "children"} & table.keys():  # an old form: a host's variables
            table = {"hosts": [name], "vars": table}
        path = key_path("", name)
        variables = self.table(key_path(path, "vars"), table.get("vars", {}))
        return _Group(
            name,
            self.names(key_path(path, "hosts"), table.get("hosts", [])),
            self.names(key_path(path, "children"), table.get("children", [])),
            variables,
            self.priority(key_path(key_path(path, "vars"), _PRIORITY), variables.get(_PRIORITY, 1)),
        )

    def names(self, key: str, value: object) -> list[str]:
        if isinstance(value, dict):
            what = "a table stands where a list must, as in the inventories that people write"
            self.fail(key, what, f"{_RIGHT}, from those as well")
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.fail(key, "it must be a list of names", 'write it as ["archie"]')
        return list(dict.fromkeys(value))

    def priority(self, key: str, value: object) -> int:
        try:
            return int(str(value))
        except ValueError:
            self.fail(key, f"{shown(str(value))} is no priority", "write a whole number, such as 1")

    def table(self, key: str, value: object) -> dict[str, object]:
        if not isinstance(value, dict):
            what = f"{kind(value)} stands where a table must"
            self.fail(key, what, 'write it as {"NAME": VALUE}')
        return value

    def order(self, groups: Mapping[str, _Group]) -> list[str]:
        """Return the groups' names, each after those of its children."""
        graph = {name: group.children for name, group in groups.items()}
        try:
            return list(graphlib.TopologicalSorter(graph).static_order())
        except graphlib.CycleError as error:
            circle = list(reversed(error.args[1]))
            self.fail(
                key_path(key_path("", circle[0]), "children"),
                f"groups are in one another: {listed(circle)}",
                "take one out of another's children",
            )

    def host_variables(
        self, document: Mapping[str, object], names: Sequence[str], ask: HostVariables
    ) -> dict[str, dict[str, object]]:
        if META not in document:
            return {name: self.table(f"--host {shown(name)}", ask(name)) for name in names}
        meta = self.table(META, document[META])
        path = f"{META}.hostvars"
        found = self.table(path, meta.get("hostvars", {}))
        return {name: self.table(key_path(path, name), found.get(name, {})) for name in names}

    def understood(self, written: Description) -> Description:
        """Return a description whose hosts can be reached, of one that has only variables."""
        hosts, refused = [], {}
        groups = {group.name: group for group in written.groups}
        variables = merged(written)
        for host in written.hosts:
            try:
                spec = host_spec(self.source, host.name, variables[host.name])
                if host.name in groups and groups[host.name].hosts != (host.name,):
                    what = f"{shown(host.name)} is a host and a group of others at once"
                    self.fail(shown(host.name), what, "give one of them another name")
            except InventoryError as error:
                # One that is of no use here must not cost us the others.
                spec, refused[host.name] = HostSpec(host.name), error
            hosts.append(replace(spec, vars=_others(host.vars)))
        return replace(
            written,
            hosts=tuple(hosts),
            groups=tuple(replace(group, vars=_others(group.vars)) for group in written.groups),
            variables=_others(written.variables),
            refused=refused,
        )


def _inherit(groups: Mapping[str, _Group], order: Sequence[str]) -> None:
    """Give each group the hosts of its children, and its depth.

    order: the names, children before parents.
    """
    for group in map(groups.__getitem__, order):
        inherited = chain.from_iterable(groups[child].hosts for child in group.children)
        group.hosts = list(dict.fromkeys([*group.hosts, *inherited]))
    for group in map(groups.__getitem__, reversed(order)):
        group.depth = max(group.depth, int(group.name != ALL))
        for child in group.children:
            groups[child].depth = max(groups[child].depth, group.depth + 1)


def _others(variables: Mapping[str, object]) -> dict[str, object]:
    """Return variables without Ansible's own."""
    return {name: value for name, value in variables.items() if not name.startswith(OWN)}
