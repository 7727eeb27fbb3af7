"""Playbooks: functions whose keyword arguments are the user's options and whose result is a recipe.

The options are read from the function's signature and docstring, so a playbook is written once and
the command line, the inventory and the report agree on it.
"""

from __future__ import annotations

import difflib
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args, get_origin

from rootwright.errors import UsageError
from rootwright.module import Module

VOLATILE = (
    "/dev/*",
    "/proc/*",
    "/run/*",
    "/sys/*",
    "/tmp/*",
    "/var/tmp/*",
    "/.dockerenv",
    "/etc/resolv.conf",
)
"""What no image carries: it belongs to a running system, or to the host that built it."""


@dataclass(frozen=True)
class Fact:
    """Something a playbook needs to know of the host before it can say what it wants.

    script: sh whose standard output, stripped, is the fact; failing, it is empty.
    """

    name: str
    script: str


@dataclass(frozen=True)
class ImageConfig:
    """What the image says of itself, besides its contents.

    cmd, entrypoint: argument vectors. env, labels: names to values; labels are OCI annotations,
        and may hold ``{date}`` and ``{time}``, those of what the root is made of, in UTC.
    exclude: paths in the root, with wildcards, that stay out of the image.
    """

    cmd: Sequence[str] = ()
    entrypoint: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    workdir: str = ""
    user: str = ""
    exclude: Sequence[str] = VOLATILE


@dataclass(frozen=True)
class Recipe:
    """What a playbook wants.

    host: modules for the host's own ``/``, played first.
    root: modules for the image's root.
    image: its configuration; None for a playbook that prepares a host and ships nothing.
    architecture: what the image is for, in the Docker world's words, such as ``amd64``.
    """

    host: Sequence[Module] = ()
    root: Sequence[Module] = ()
    image: ImageConfig | None = None
    architecture: str = ""


@dataclass(frozen=True)
class Option:
    """One option of a playbook.

    kind: ``str``, ``int``, ``bool`` or ``list`` (of text).
    choices: the allowed values, when they are few.
    optional: None is a value: the playbook finds one itself.
    """

    name: str
    kind: str
    default: object
    help: str
    choices: tuple[str, ...] = ()
    optional: bool = False

    def value(self, given: object, where: str) -> object:
        """Return a value given on the command line (text) or in an inventory (TOML) as its type.

        Raises UsageError naming where it was given and what would be right.
        """
        if given is None and self.optional:
            return None
        if self.kind == "list":
            items = given.split(",") if isinstance(given, str) else given
            if not isinstance(items, (list, tuple)) or not all(isinstance(i, str) for i in items):
                raise self._wrong(given, where, "a list of texts")
            parts = [part.strip() for item in items for part in item.split(",")]
            return tuple(part for part in parts if part)
        if self.kind == "bool":
            if isinstance(given, bool):
                return given
            if isinstance(given, str) and given.lower() in _TRUTH:
                return _TRUTH[given.lower()]
            raise self._wrong(given, where, "true or false")
        if self.kind == "int":
            if isinstance(given, int) and not isinstance(given, bool):
                return given
            if isinstance(given, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", given):
                return int(given)
            raise self._wrong(given, where, "a whole number")
        if not isinstance(given, str):
            raise self._wrong(given, where, "a text")
        if self.choices and given not in self.choices:
            raise self._wrong(given, where, "one of " + ", ".join(self.choices))
        return given

    def _wrong(self, given: object, where: str, right: str) -> UsageError:
        return UsageError(f"{self.name} cannot be {given!r}", where=where, hint=f"give {right}")


_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

PlaybookFunction = Callable[..., Recipe]
REGISTRY: dict[str, Playbook] = {}
"""Every playbook by its name."""


@dataclass(frozen=True)
class Playbook:
    """A playbook function with what its signature and docstring say."""

    name: str
    summary: str
    manual: str
    options: Mapping[str, Option]
    facts: tuple[Fact, ...]
    tools: Mapping[str, str | Mapping[str, str]]
    function: PlaybookFunction
    ships: bool = True

    def settings(self, layers: Iterable[tuple[str, Mapping[str, object]]]) -> dict[str, object]:
        """Return every option's value; a later layer wins.

        layers: pairs of where the values were given (for errors) and the values.
        Raises UsageError for an unknown option or a wrong type.
        """
        values = {name: option.default for name, option in self.options.items()}
        for where, given in layers:
            for name, value in given.items():
                if name not in self.options:
                    raise self.unknown(name, where)
                values[name] = self.options[name].value(value, f"{where}, {name}")
        return values

    def unknown(self, name: str, where: str) -> UsageError:
        """Return the error for an option that the playbook does not have."""
        near = difflib.get_close_matches(name, self.options, 1)
        known = ", ".join(self.options)
        return UsageError(
            f"playbook {self.name} has no option {name!r}",
            where=where,
            hint=f"did you mean {near[0]!r}?" if near else f"it has: {known}",
        )

    def recipe(self, settings: Mapping[str, object], facts: Mapping[str, str]) -> Recipe:
        """Return what the playbook wants with these options on a host of which this is known."""
        return self.function(facts, **settings)


def playbook(
    *,
    facts: Sequence[Fact] = (),
    tools: Mapping[str, str | Mapping[str, str]] | None = None,
    ships: bool = True,
) -> Callable[[PlaybookFunction], PlaybookFunction]:
    """Make a function a playbook, under its own name.

    The function takes the host's facts (a mapping of texts: ``os``, ``arch``, … and those asked
    for here), then keyword-only options of type str, int, bool, a sequence of str, a Literal, or
    one of these or None. A docstring line ``name: text`` is the option's help.
    tools: commands that the recipe needs on the host, and the package of each, for `doctor`;
        where the names differ, a mapping of ``apt`` and ``pacman`` to them.
    ships: whether it makes an image; one that prepares a host's own ``/`` makes none.
    Raises UsageError, at import, for a signature that is none of this.
    """

    def register(function: PlaybookFunction) -> PlaybookFunction:
        doc = inspect.cleandoc(function.__doc__ or "")
        helps = _option_helps(doc)
        hints = typing.get_type_hints(function)
        options = {}
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.kind is parameter.KEYWORD_ONLY:
                hint = hints.get(name)
                where = f"playbook {function.__name__}, option {name}"
                options[name] = _option(name, parameter, hint, helps.get(name, ""), where)
        name = function.__name__
        REGISTRY[name] = Playbook(
            name=name,
            summary=doc.partition("\n")[0],
            manual=doc,
            options=options,
            facts=tuple(facts),
            tools=tools or {},
            function=function,
            ships=ships,
        )
        return function

    return register


def _option_helps(doc: str) -> dict[str, str]:
    helps: dict[str, str] = {}
    name = ""
    for line in doc.splitlines():
        start = re.match(r"([a-z_]+): (.*)", line)
        if start:
            name = start[1]
            helps[name] = start[2]
        elif name and line.startswith(" "):
            helps[name] += " " + line.strip()
        else:
            name = ""
    return helps


def _option(name: str, parameter: inspect.Parameter, hint: object, text: str, where: str) -> Option:
    members = [hint]
    if get_origin(hint) in (types.UnionType, typing.Union):
        members = list(get_args(hint))
    kinds = [member for member in members if member is not type(None)]
    optional = len(kinds) < len(members)
    choices: tuple[str, ...] = ()
    if len(kinds) == 1:
        (hint,) = kinds
    if get_origin(hint) is Literal:
        kind, choices = "str", get_args(hint)
    elif hint in (str, int, bool):
        kind = typing.cast("type[object]", hint).__name__
    elif get_origin(hint) in (Sequence, list, tuple) and get_args(hint)[0] is str:
        kind = "list"
    else:
        raise UsageError(
            f"an option cannot be of type {hint}",
            where=where,
            hint="it is of type str, int, bool, Sequence[str], a Literal, or one of these or None",
        )
    if parameter.default is parameter.empty:
        raise UsageError(
            "an option needs a default", where=where, hint="None says that there is none"
        )
    return Option(name, kind, parameter.default, text, choices, optional)
