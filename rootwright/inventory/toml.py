"""An inventory in TOML: from bytes to hosts, groups and variables that make sense, or an error.

Two halves: `read_toml` turns bytes into one plain mapping, `describe` says whether that mapping
makes sense.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from rootwright.errors import InventoryError
from rootwright.inventory.checks import Checks, kind
from rootwright.inventory.description import LOCALHOST, Description, GroupSpec, HostSpec
from rootwright.inventory.source import decoded
from rootwright.inventory.text import key_path, listed, near, shown

_MAX_DEPTH = 20  # dotted keys can nest deeper than Python can recurse
_HOST_KEYS = ("address", "port", "user", "key", "become", "vars")
_GROUP_KEYS = ("hosts", "vars")
_OPTIONS = "a playbook's options go under vars"


def read_toml(data: bytes, source: Path) -> dict[str, object]:
    """Return TOML text as a plain mapping.

    data: the bytes of the file; a byte order mark is let pass.
    source: the file to name in errors.
    Raises InventoryError with the line where there is one.
    """
    where = shown(str(source))
    text = decoded(data, where)
    try:
        return tomllib.loads(text)
    except RecursionError:
        reason = "it is nested too deeply"
    except ValueError as error:  # TOMLDecodeError, and integers too long for Python to read
        reason = str(error)
    found = re.search(r"\(at line (\d+), column \d+\)", reason)
    raise InventoryError(
        f"the inventory is not valid TOML: {reason}",
        where=f"{where}:{found[1]}" if found else where,
        hint='write it as in https://toml.io, for example port = 22 or user = "builder"',
    )


def describe(mapping: Mapping[str, object], source: Path) -> Description:
    """Return what a plain mapping says.

    mapping: ``all``, ``hosts`` and ``groups`` as in the TOML file.
    source: the file to name in errors, and whose folder relative key paths start at.
    Raises InventoryError naming file, key and what would be right.
    """
    return _Reader(source).description(mapping)


class _Reader(Checks):
    """Checks a plain mapping."""

    def description(self, mapping: Mapping[str, object]) -> Description:
        self.keys("", mapping, ("all", "hosts", "groups"), "an inventory")
        variables = self.variables("all", mapping.get("all", {}))
        if "vars" in variables:
            right = "write them under [all] itself, without vars"
            self.fail("all.vars", "the variables of all hosts have no table of their own", right)
        hosts = [
            self.host(key_path("hosts", name), name, value)
            for name, value in self.table("hosts", mapping.get("hosts", {})).items()
        ]
        known = list(dict.fromkeys([LOCALHOST, *(host.name for host in hosts)]))
        groups = [
            self.group(key_path("groups", name), name, value, known)
            for name, value in self.table("groups", mapping.get("groups", {})).items()
        ]
        return Description(tuple(hosts), tuple(groups), variables)

    def host(self, key: str, name: str, value: object) -> HostSpec:
        self.name(key, name)
        table = self.table(key, value)
        self.keys(key, table, _HOST_KEYS, "a host", _OPTIONS)
        for ssh in ("address", "port", "user", "key"):
            if name == LOCALHOST and ssh in table:
                what = "localhost is this machine, reached without SSH"
                right = "give a host that SSH should reach another name"
                self.fail(key_path(key, ssh), what, right)
        return HostSpec(
            name=name,
            address=self.word(key_path(key, "address"), table.get("address"), '"192.0.2.7"'),
            port=self.port(key_path(key, "port"), table.get("port"), "port = 22"),
            user=self.word(key_path(key, "user"), table.get("user"), '"builder"'),
            key=self.path(key_path(key, "key"), table.get("key"), self.source.parent),
            become=self.become(key_path(key, "become"), table.get("become")),
            vars=self.variables(key_path(key, "vars"), table.get("vars", {})),
        )

    def group(self, key: str, name: str, value: object, known: Sequence[str]) -> GroupSpec:
        self.name(key, name)
        if name in known:
            what = f"{shown(name)} is a host and a group at once"
            self.fail(key, what, "give one of them another name")
        table = self.table(key, value)
        self.keys(key, table, _GROUP_KEYS, "a group", _OPTIONS)
        members = table.get("hosts", [])
        where = key_path(key, "hosts")
        if not isinstance(members, list) or not all(isinstance(item, str) for item in members):
            self.fail(where, "it must be a list of names", 'write it as hosts = ["archie"]')
        for member in members:
            if member not in known:
                what = f"there is no host {shown(member)}"
                self.fail(where, what, near(member, known) or f"known are {listed(known)}")
        variables = self.variables(key_path(key, "vars"), table.get("vars", {}))
        return GroupSpec(name, tuple(dict.fromkeys(members)), variables)

    def keys(
        self, key: str, table: Mapping[str, object], known: Sequence[str], of: str, more: str = ""
    ) -> None:
        for name in table:
            if name not in known:
                has = "; ".join(filter(None, [f"{of} has {listed(known)}", more]))
                what = f"{of} has no key {shown(name)}"
                self.fail(key_path(key, name), what, near(name, known) or has)

    def variables(self, key: str, value: object) -> dict[str, object]:
        table = self.table(key, value)
        for name, item in table.items():
            path = key_path(key, name)
            if not (name.isascii() and name.isidentifier()):
                right = "a name is letters, digits and '_', such as image_mirror"
                self.fail(path, f"no playbook can have an option {shown(name)}", right)
            self.plain(path, item)
        return table

    def plain(self, key: str, value: object, depth: int = 0) -> None:
        """Refuse what no option is made of, and what a JSON report could not carry."""
        if depth > _MAX_DEPTH:
            self.fail(key, "it is nested too deeply", "write a text, a number or a list of them")
        match value:
            case list():
                for index, item in enumerate(value):
                    self.plain(f"{key}[{index}]", item, depth + 1)
            case dict():
                for name, item in value.items():
                    self.plain(key_path(key, name), item, depth + 1)
            case int() if abs(value) >= 1 << 63:  # TOML's integers have 64 bits
                self.fail(key, "the number is too large", 'quote it: "..."')
            case float() if not math.isfinite(value):
                self.fail(key, "infinity and nan are no values", 'quote it: "..."')
            case str() | int() | float():
                pass
            case _:
                self.fail(key, f"{kind(value)} cannot be a value", 'quote it: "..."')
