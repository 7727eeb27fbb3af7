"""What may stand in an inventory, whatever its format, and the complaint about what may not."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from rootwright.errors import InventoryError
from rootwright.inventory.description import ALL, BECOME, Become
from rootwright.inventory.text import shown


class Checks:
    """Checks values; knows the file, so that every complaint can name it.

    Each check takes the key, to be named as well, and raises InventoryError.
    """

    def __init__(self, source: Path) -> None:
        """Remember the file."""
        self.source = source

    def fail(self, key: str, what: str, hint: str) -> NoReturn:
        """Raise InventoryError: what is wrong with a key, and what would be right."""
        raise InventoryError(what, where=f"{shown(str(self.source))}: {key}", hint=hint)

    def table(self, key: str, value: object) -> dict[str, object]:
        """Return a table."""
        if not isinstance(value, dict):
            self.fail(key, f"{kind(value)} stands where a table must", f"begin it with [{key}]")
        return value

    def name(self, key: str, name: str) -> None:
        """Refuse what cannot be the name of a host or a group."""
        if name == ALL:
            self.fail(key, "the name all already means every host", "give it another name")
        # It becomes part of the names of files and images.
        if wrong := flaw(name) or ("has a '/' in it" if "/" in name else ""):
            right = "a name is letters, digits, '.', '-' and '_', such as build-1.example.org"
            self.fail(key, f"the name {shown(name)} {wrong}", right)

    def word(self, key: str, value: object, example: str) -> str | None:
        """Return an address or a user."""
        if value is None:
            return None
        right = f"write it as {example}"
        if not isinstance(value, str):
            self.fail(key, f"{kind(value)} stands where a text must", right)
        if wrong := flaw(value):
            self.fail(key, f"{shown(value)} {wrong}", right)
        return value

    def port(self, key: str, value: object, example: str) -> int | None:
        """Return a port."""
        if value is None:
            return None
        right = f"write a number from 1 to 65535, such as {example}"
        if not isinstance(value, int) or isinstance(value, bool):
            self.fail(key, f"{kind(value)} stands where a port must", right)
        if not 1 <= value <= 65535:
            self.fail(key, "there is no such port", right)
        return value

    def path(self, key: str, value: object, base: Path) -> str | None:
        """Return a path, absolute; a relative one starts at base."""
        if value is None:
            return None
        right = 'write a path, such as "~/.ssh/id_ed25519"'
        if not isinstance(value, str):
            self.fail(key, f"{kind(value)} stands where a path must", right)
        if not value or not value.isprintable():
            self.fail(key, f"{shown(value)} cannot be a path", right)
        try:
            return str(base.absolute() / Path(value).expanduser())
        except RuntimeError:  # "~nobody/key" where there is no such user
            self.fail(key, f"{shown(value)} is in the home of an unknown user", right)

    def become(self, key: str, value: object) -> Become | None:
        """Return a way to become root."""
        for way in BECOME:
            if value == way:
                return way
        if value is not None:
            right = 'write become = "sudo", or become = "none" where the user is root'
            self.fail(key, "there is no such way to become root", right)
        return None


def flaw(word: str) -> str:
    """Return why a word cannot be a host's name, address or user, empty where it can.

    The word goes to tools that would read "-x" as an option, and to fabric, which reads
    "user@host" and "host:port" itself (an IPv6 address has more colons than one).
    """
    if not word:
        return "is empty"
    if word.startswith("-"):
        return "begins with '-'"
    if not word.isprintable() or " " in word:
        return "has spaces or control characters in it"
    if "@" in word:
        return "has an '@' in it; the user has a key of its own, user"
    if word.count(":") == 1:
        return "has a ':' in it; the port has a key of its own, port"
    return ""


def kind(value: object) -> str:
    """Return what a value is, in words."""
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "a text"}
    kinds |= {list: "a list", dict: "a table", type(None): "null"}
    return kinds.get(type(value), "a date or time")
