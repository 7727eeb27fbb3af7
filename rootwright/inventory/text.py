"""How names out of an inventory are shown in a message: short, and harmless to any terminal."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Sequence

_LONGEST = 300  # characters of a name; one can be as long as the file
_MOST = 20  # names in a list


def shown(text: str) -> str:
    """Return a text as it is where that is plain and one word, otherwise in quotes, escaped."""
    quoted = _quoted(text)
    return text if quoted == f'"{text}"' and text and " " not in text else quoted


def key_path(path: str, name: str) -> str:
    """Return a key as TOML writes it: ``hosts.archie``, or ``hosts."a.example.org"``."""
    bare = re.fullmatch(r"[A-Za-z0-9_-]+", name) and len(name) <= _LONGEST
    key = name if bare else _quoted(name)
    return f"{path}.{key}" if path else key


def listed(names: Sequence[str]) -> str:
    """Return names with commas between, the first ones when they are many."""
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return ", ".join(map(shown, names[:_MOST])) + more


def near(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean NAME?``, empty where no known name is near."""
    found = difflib.get_close_matches(name[:_LONGEST], list(known), n=3)
    return f"did you mean {' or '.join(map(shown, found))}?" if found else ""


def _quoted(text: str) -> str:
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}..."
    return f'"{text}"' if text.isprintable() and not set(text) & set('"\\') else json.dumps(text)
