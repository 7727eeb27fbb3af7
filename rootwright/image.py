"""An image's configuration and its name: bytes that are a function of what they describe.

The image ID of an engine that keeps images by content is the SHA-256 of the configuration's bytes,
so these bytes must be the same whenever the input is.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rootwright.errors import UsageError
from rootwright.text import harmless

_DIGEST = re.compile("sha256:[0-9a-f]{64}")

# The grammar of github.com/distribution/reference, reference.go and regexp.go.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_LABEL = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DEFAULT_DOMAIN = "docker.io"


@dataclass(frozen=True)
class Reference:
    """The name of an image, as people write it.

    name: ``demo/debian`` or ``registry.example.org:5000/debian``. tag: ``latest`` when none is
    written.
    """

    name: str
    tag: str

    def __str__(self) -> str:
        """Return it in the form engines list: name, colon, tag."""
        return f"{self.name}:{self.tag}"

    @property
    def full(self) -> str:
        """The same with the default registry and namespace written out."""
        domain, path = _split_domain(self.name)
        if domain == _DEFAULT_DOMAIN and "/" not in path:
            path = f"library/{path}"
        return f"{domain}/{path}:{self.tag}"


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    # What tells a registry from a user's name: a dot, a port, an upper-case letter, or localhost.
    if slash and (re.search("[.:A-Z]", first) or first == "localhost"):
        return first, rest
    return _DEFAULT_DOMAIN, name


def parse_reference(text: str) -> Reference:
    """Return the image name that text says.

    UsageError when it is none, or names a digest: a digest is a consequence of the image, so
    nothing can be tagged with one. The default registry's own name is dropped, as engines do.
    Source: distribution/reference, ``ParseNormalizedNamed``.
    """

    def refuse(what: str, hint: str) -> UsageError:
        return UsageError(f"not an image name: {harmless(text)!r}: {what}", hint=hint)

    if "@" in text:
        raise refuse("a digest cannot be chosen", "give a name and a tag, such as demo/debian:1")
    last = text.rpartition("/")[2]
    tag = "latest"
    name = text
    if ":" in last:
        name, _, tag = text.rpartition(":")
    if not _TAG.fullmatch(tag):
        raise refuse(
            f"{harmless(tag)!r} is no tag",
            "a tag has up to 128 letters, digits, '_', '.' and '-', and begins with none of '.-'",
        )
    domain, path = _split_domain(name)
    if not _PATH.fullmatch(path):
        if _PATH.fullmatch(path.lower()):
            raise refuse("upper-case letters", f"try {harmless(name.lower())}:{tag}")
        raise refuse(
            f"{harmless(path)!r} is no repository",
            "lower-case words of letters and digits, joined by '.', '_', '__' or '-', and by '/'",
        )
    if not _DOMAIN.fullmatch(domain):
        raise refuse(f"{harmless(domain)!r} is no registry", "a registry is a host, or host:port")
    if re.fullmatch("[0-9a-f]{64}", name):
        raise refuse("it would be taken for an image ID", "choose a shorter name")
    if domain in (_DEFAULT_DOMAIN, f"index.{_DEFAULT_DOMAIN}"):
        name = path.removeprefix("library/") if path.count("/") == 1 else path
    if len(Reference(name, tag).full) - len(tag) - 1 > 255:
        raise refuse("it is longer than 255 characters", "choose a shorter name")
    return Reference(name, tag)


def parse_references(texts: Sequence[str]) -> tuple[Reference, ...]:
    """Return the names that texts say, each once; UsageError when one is none, or none is given."""
    names = tuple(dict.fromkeys(parse_reference(text) for text in texts))
    if not names:
        raise UsageError("an image needs a name", hint="give --tag, such as --tag demo/debian:1")
    return names


def image_config(
    *,
    architecture: str,
    created_epoch: int,
    diff_id: str,
    variant: str = "",
    cmd: Sequence[str] = (),
    entrypoint: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    workdir: str = "",
    user: str = "",
    stop_signal: str = "",
    history: Sequence[str] = (),
) -> bytes:
    """Return the image's configuration as JSON, the same bytes for the same input.

    architecture: as Go names it (``amd64``, ``arm64``); variant: ``v7`` for 32-bit ARM.
    created_epoch: seconds since 1970, UTC. diff_id: the layer's digest. history: one line for each
    module, in the order they ran. The rest is what a Dockerfile calls CMD, ENTRYPOINT, ENV, LABEL,
    WORKDIR, USER and STOPSIGNAL; what is empty is left out.

    Engines want exactly one history entry for each layer. The last entry carries the one layer and
    the others are marked empty: the layer is what there is after the last module, and
    ``docker build --squash`` does the same. ``docker history`` lists the newest first, so the
    first line shows the size and the lines below read as the playbook, backwards.

    UsageError when a value cannot stand in a configuration.
    Source: OCI image-spec, ``config.md``.
    """
    if not _DIGEST.fullmatch(diff_id):
        raise UsageError(f"not a layer's digest: {harmless(diff_id)!r}")
    created = _rfc3339(created_epoch)
    variables = env or {}
    for key, value in variables.items():
        if not key or "=" in key or "\0" in key + value:
            raise UsageError(f"no environment variable can be called {harmless(key)!r}")
    if "" in (labels or {}):
        raise UsageError("a label has no name")
    config = {
        "Cmd": list(cmd),
        "Entrypoint": list(entrypoint),
        "Env": [f"{key}={variables[key]}" for key in sorted(variables)],
        "Labels": dict(labels or {}),
        "StopSignal": stop_signal,
        "User": user,
        "WorkingDir": workdir,
    }
    # What modules were given may be bytes that no JSON holds; it is only told here.
    told = [line.encode(errors="backslashreplace").decode() for line in history]
    lines = told or ["rootwright"]
    document = {
        "architecture": architecture,
        "config": {key: value for key, value in config.items() if value},
        "created": created,
        "history": [
            {"created": created, "created_by": line}
            | ({} if number == len(lines) else {"empty_layer": True})
            for number, line in enumerate(lines, 1)
        ],
        "os": "linux",
        "rootfs": {"diff_ids": [diff_id], "type": "layers"},
    } | ({"variant": variant} if variant else {})
    return canonical_json(document)


def image_id(config: bytes) -> str:
    """Return the ID that an engine gives an image with this configuration."""
    return f"sha256:{hashlib.sha256(config).hexdigest()}"


def canonical_json(document: object) -> bytes:
    """Return document as JSON with sorted keys and no spaces: one form for one meaning."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        near = text[max(0, error.start - 20) : error.end + 20]
        raise UsageError(
            "a value that is not UTF-8 cannot stand in an image's configuration",
            where=harmless(near),
            hint="labels, variables and commands are JSON, which is text in UTF-8",
        ) from None


def _rfc3339(epoch: int) -> str:
    try:
        return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError) as error:
        raise UsageError(f"not a time that can be written: {epoch}") from error
