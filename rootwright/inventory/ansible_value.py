"""Values in an Ansible inventory: which of them mean what they say."""

from __future__ import annotations

from collections.abc import Iterator

_UNSAFE = "__ansible_unsafe"
_VAULT = "__ansible_vault"
_TEMPLATE = ("{{", "{%", "{#")


def literal(value: object) -> object:
    """Return a value without the mark that it is no template, which `flaw_of` respects."""
    if isinstance(value, dict):
        inner = {name: literal(item) for name, item in value.items()}
        return inner.get(_UNSAFE, inner)
    return [literal(item) for item in value] if isinstance(value, list) else value


def flaw_of(value: object) -> str:
    """Return why only Ansible can work out a value, empty where it means what it says."""
    for item in _leaves(value):
        if isinstance(item, dict):
            return "is encrypted with Ansible Vault"
        if isinstance(item, str) and any(mark in item for mark in _TEMPLATE):
            return "is a template for Ansible to fill in"
    return ""


def _leaves(value: object) -> Iterator[object]:
    """Yield what a value is made of; an encrypted text as the table that holds it."""
    if isinstance(value, dict) and _VAULT in value:
        yield value
    elif isinstance(value, dict) and _UNSAFE not in value:
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif not isinstance(value, dict):
        yield value
