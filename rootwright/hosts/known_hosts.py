"""The lines of known_hosts: which keys a host may have, and which it must never have.

Source: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast

Marker = Literal["", "@revoked", "@cert-authority"]


@dataclass(frozen=True)
class Line:
    """What one line says of a host.

    marker: empty for a key that the host has; ``@revoked`` for one that must not be accepted;
        ``@cert-authority`` for one that signs keys of hosts, and is no host's own.
    kind: of the key, such as ``ssh-ed25519``. blob: the public key.
    """

    marker: Marker
    kind: str
    blob: bytes


def lines_about(text: str, name: str) -> Iterator[Line]:
    """Yield the lines that are about a host; one that makes no sense hides no other.

    text: of a known_hosts file.
    name: as it stands there, ``host``, ``[host]:port`` or an alias.
    """
    for line in text.splitlines():
        fields = line.split()
        marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
        if marker not in ("", "@revoked", "@cert-authority") or len(fields) < 3:
            continue
        patterns, kind, encoded = fields[:3]
        try:
            blob = base64.b64decode(encoded, validate=True)
        except ValueError:
            continue
        whole = blob.startswith(len(kind).to_bytes(4) + kind.encode(errors="replace"))
        if whole and not patterns.startswith("#") and _matches(patterns, name.lower()):
            yield Line(cast("Marker", marker), kind, blob)


def _matches(patterns: str, name: str) -> bool:
    """Return whether patterns with commas between, or a hash, are about a name in lower case."""
    if patterns.startswith("|1|"):
        _, _, salt, digest, *_ = [*patterns.split("|"), "", ""]
        try:
            made = hmac.digest(base64.b64decode(salt), name.encode(), hashlib.sha1)
            return hmac.compare_digest(made, base64.b64decode(digest))
        except ValueError:
            return False
    found = False
    for pattern in patterns.lower().split(","):
        if _like(pattern.removeprefix("!"), name):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _like(pattern: str, name: str) -> bool:
    """Return whether a name is like a pattern; ``[`` means itself there, unlike in a shell."""
    parts = re.findall(r"\*+|.", pattern, re.DOTALL)
    wild = {"*": ".*", "?": "."}
    return bool(re.fullmatch("".join(wild.get(p[:1], re.escape(p)) for p in parts), name))
