"""Secrets stay out of everything that is printed or written."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping, Set
from pathlib import PurePath

MASK = "***"
# A secret that must be hidden in pieces too, because output arrives by line; shorter lines (braces,
# "EOF") say nothing and would blot out half of what else is printed.
_SHORTEST_LINE = 8
# Our own words; a short secret may well occur in one by chance, and a torn digest is of no use.
_DIGEST = re.compile("sha256:[0-9a-f]{64}")


class Masker:
    """The secrets of a run, and the one place where they are taken out of text.

    One masker is shared by the console, the event log and the report; secrets may be added at any
    time and from any thread, and hold for everything that goes out afterwards.

    secrets: the secrets known from the start.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Hide this from now on; of a secret of several lines each longer line too."""
        whole = secret.strip()
        if not whole:
            return
        lines = {line.strip() for line in whole.splitlines()}
        with self._lock:
            self._secrets |= {whole} | {line for line in lines if len(line) >= _SHORTEST_LINE}
            # The longest first: where one secret begins another, none of the longer may stay.
            longest_first = sorted(self._secrets, key=lambda one: (-len(one), one))
            self._pattern = re.compile("|".join(re.escape(one) for one in longest_first))

    def text(self, text: str) -> str:
        """Return text with every secret in it replaced by ``***``."""
        pattern = self._pattern
        return pattern.sub(MASK, text) if pattern else text

    def data(self, value: object, keep: frozenset[str] = frozenset()) -> object:
        """Return value as plain JSON data, with the secrets hidden in every string of it.

        keep: strings of a fixed vocabulary, which programs rely on and which give nothing away.
        """
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            return value if value in keep or _DIGEST.fullmatch(value) else self.text(value)
        if isinstance(value, PurePath):
            return self.text(str(value))
        if isinstance(value, Mapping):
            return {str(key): self.data(one, keep) for key, one in value.items()}
        if isinstance(value, Set):  # in an order that does not change from run to run
            return sorted((self.data(one, keep) for one in value), key=str)
        if isinstance(value, Iterable) and not isinstance(value, bytes):
            return [self.data(one, keep) for one in value]
        return self.text(str(value))
