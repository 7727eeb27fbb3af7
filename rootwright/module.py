"""The base of every module: a named, typed bundle of resources that says what, never how."""

from __future__ import annotations

import dataclasses
import importlib.resources
import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import ClassVar

from rootwright.errors import UsageError
from rootwright.resource import Resource

REGISTRY: dict[str, type[Module]] = {}
"""Every module class by its name, in the order of definition."""

UNRECORDED = {"history": False}
"""As ``dataclasses.field(metadata=UNRECORDED)``: a field that says where a thing comes from, not
what the image is, and so stays out of the image's history."""


class Module(ABC):
    """A frozen dataclass that yields resources, in the order in which they are made.

    The class's name in snake case is the module's name. Its docstring is its manual.
    """

    name: ClassVar[str]
    on_host: ClassVar[str] = ""
    """Why the module refuses a host's own ``/``; empty where it does not."""
    on_image: ClassVar[str] = ""
    """Why the module refuses an image's root; empty where it does not."""

    def __init_subclass__(cls) -> None:
        """Register the module under its name."""
        super().__init_subclass__()
        cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
        if not inspect.isabstract(cls):
            REGISTRY[cls.name] = cls

    @abstractmethod
    def resources(self) -> Iterable[Resource]:
        """Yield what the module wants. Pure; raises UsageError for values that make no sense."""

    def history(self) -> str:
        """Return the module and its values as one line of the image's history.

        Values that are the default, and fields marked `UNRECORDED`, are left out.
        """
        words = [self.name]
        assert dataclasses.is_dataclass(self)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.metadata.get("history", True) and value != _default(field):
                words.append(f"{field.name}={_plain(value)}")
        return " ".join(words)

    def refuse(self, what: str, hint: str = "") -> UsageError:
        """Return the error for values that make no sense, naming this module."""
        return UsageError(what, where=f"module {self.name}", hint=hint)


def read_template(name: str) -> str:
    """Return the text of a file in ``modules/templates/``."""
    folder = importlib.resources.files("rootwright.modules")
    return folder.joinpath("templates", name).read_text(encoding="utf-8")


def manual(cls: type[Module]) -> str:
    """Return what ``modules NAME`` prints: the docstring and the fields with their defaults."""
    lines = [inspect.cleandoc(cls.__doc__ or ""), ""]
    for reason, place in ((cls.on_host, "a host's own /"), (cls.on_image, "an image's root")):
        if reason:
            lines.append(f"Refuses {place}: {reason}")
    assert dataclasses.is_dataclass(cls)
    fields = dataclasses.fields(cls)
    if fields:
        lines.append("Fields:")
    for field in fields:
        default = _default(field)
        shown = " (required)" if default is dataclasses.MISSING else f" = {default!r}"
        lines.append(f"  {field.name}: {field.type}{shown}")
    return "\n".join(lines)


def _default(field: dataclasses.Field[object]) -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{k}:{_plain(v)}" for k, v in sorted(value.items()))
    if isinstance(value, (tuple, list)):
        return ",".join(_plain(item) for item in value) or "none"
    text = str(value)
    return text if len(text) <= 60 and "\n" not in text else f"({len(text)} characters)"
