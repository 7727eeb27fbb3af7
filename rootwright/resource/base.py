"""What every resource is: something observed by a probe, compared in Python, changed by sh.

A resource never talks to a host. It compiles to text for the vocabulary in ``prelude.sh`` and
interprets what comes back, so all of it can be tested without a host.
"""

from __future__ import annotations

import base64
import binascii
import posixpath
import re
import shlex
import stat
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from rootwright.errors import StepError, UsageError

WHOLE_ROOT = ("/",)
"""As `Resource.reads` or `Resource.writes`: may read or write anything in the root."""

_WORD = re.compile(r"([a-z][a-z0-9]*)=([A-Za-z0-9+/=:.-]*)")


def quote(*words: str | int) -> str:
    """Return the words as one sh command line, each arriving exactly as given.

    Raises UsageError for a NUL, which no sh word can hold.
    """
    for word in words:
        if "\0" in str(word):
            raise UsageError("a value holds a NUL character", where=repr(str(word)[:60]))
    return " ".join(shlex.quote(str(word)) for word in words)


def root_path(path: str, where: str) -> str:
    """Return a path inside the root, normalised.

    Raises UsageError unless it is absolute, free of ``..``, NUL and newlines, and not ``/`` itself.
    """
    parts = path.split("/")
    if not path.startswith("/") or ".." in parts or "\0" in path or "\n" in path:
        raise UsageError(
            f"{path!r} is not a path inside a root",
            where=where,
            hint="give an absolute path without '..', such as /etc/hostname",
        )
    clean = posixpath.normpath("/" + path.lstrip("/"))
    if clean == "/":
        raise UsageError("the root's own folder is not a resource", where=where)
    return clean


def overlap(writes: tuple[str, ...], reads: tuple[str, ...]) -> bool:
    """Tell whether something written at or below one list of paths can be seen through another.

    Paths may hold the shell's wildcards.
    """
    return any(_meet(w.split("/"), r.split("/")) for w in writes for r in reads)


def _meet(one: list[str], other: list[str]) -> bool:
    # "/" splits into two empty names: as the shorter path it meets every other.
    pairs = zip([n for n in one if n], [n for n in other if n], strict=False)
    return all(a == b or fnmatchcase(a, b) or fnmatchcase(b, a) for a, b in pairs)


@dataclass(frozen=True)
class State:
    """What a probe saw, word by word.

    fields: the ``key=value`` words of one probe line, checked for form only.
    """

    fields: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, line: str) -> State:
        """Read one probe line.

        Raises StepError when the line is not what a probe prints: the host answered something else.
        """
        words = line.split()
        pairs = [_WORD.fullmatch(word) for word in words]
        if not all(pairs):
            raise StepError(
                "the host's answer to a probe makes no sense",
                where=repr(line[:200]),
                hint="a login script, an alias or a broken tool on the host may add its own text",
            )
        return cls({m[1]: m[2] for m in pairs if m})

    def number(self, key: str, base: int = 10) -> int:
        """Return a numeric word, 0 when absent; StepError when it is no number of a file."""
        try:
            value = int(self.fields.get(key) or "0", base)
        except ValueError:
            raise self._nonsense(key) from None
        # A mode has 32 bits (`stat.S_IFMT` takes no more), a size 63.
        if not 0 <= value < 1 << (32 if key == "mode" else 63):
            raise self._nonsense(key)
        return value

    def blob(self, key: str) -> bytes | None:
        """Return a base64 word decoded, None when absent; StepError when it is not base64."""
        if key not in self.fields:
            return None
        try:
            return base64.b64decode(self.fields[key], validate=True)
        except binascii.Error:
            raise self._nonsense(key) from None

    def _nonsense(self, key: str) -> StepError:
        return StepError(
            "the host's answer to a probe makes no sense",
            where=f"{key}={self.fields.get(key, '')[:80]}",
            hint="a login script, an alias or a broken tool on the host may add its own text",
        )

    @property
    def exists(self) -> bool:
        """Whether anything stands at the path."""
        return self.number("mode", 16) != 0

    @property
    def permissions(self) -> int:
        """The permission bits, setuid and sticky included."""
        return stat.S_IMODE(self.number("mode", 16))

    @property
    def owner(self) -> tuple[int, int]:
        """User and group, as numbers."""
        return self.number("uid"), self.number("gid")

    def is_a(self, kind: int) -> bool:
        """Tell whether the path has the file type ``kind``, a constant such as `stat.S_IFREG`."""
        return self.exists and stat.S_IFMT(self.number("mode", 16)) == kind

    def describe(self) -> str:
        """Name what stands at the path, for a reader: ``file 0644 0:0``, ``absent``, …"""
        if not self.exists:
            return "absent"
        mode = self.number("mode", 16)
        name = _KINDS.get(stat.S_IFMT(mode), "something else")
        if stat.S_ISLNK(mode):
            return f"{name} to {(self.blob('to') or b'').decode(errors='backslashreplace')}"
        return f"{name} {self.permissions:04o} {self.owner[0]}:{self.owner[1]}"


_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "FIFO",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFSOCK: "socket",
}


@dataclass(frozen=True)
class Change:
    """What would change, or did.

    summary: one line for a reader.
    before, after: text for a diff; None where there is nothing that text can show.
    """

    summary: str
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True)
class Answer:
    """One line of a dialogue with an interactive program.

    pattern: a regular expression searched in what the program has printed since its last newline.
    reply: what is typed, then a newline.
    """

    pattern: str
    reply: str

    def __post_init__(self) -> None:
        """Refuse what is no expression, or none that can stand inside of another."""
        try:
            for text in (self.pattern, f"(?:{self.pattern})"):
                re.compile(text.encode())
        except (re.error, UnicodeEncodeError) as e:
            raise UsageError(
                f"an answer's pattern is no regular expression: {e}",
                where=repr(self.pattern[:200]),
                hint="see Python's re; flags are written (?i:...)",
            ) from None


class Resource(ABC):
    """Something in a root that has a state."""

    @property
    @abstractmethod
    def label(self) -> str:
        """A short name for a reader, such as ``file /etc/hostname``."""

    @property
    @abstractmethod
    def reads(self) -> tuple[str, ...]:
        """Paths whose contents decide whether this resource has its state."""

    @property
    @abstractmethod
    def writes(self) -> tuple[str, ...]:
        """Paths that converging may alter."""

    @abstractmethod
    def probe(self) -> str:
        """Return sh that prints the present state as one line of words, changing nothing."""

    def glance(self) -> tuple[str, str] | None:
        """Return a path and the SHA-256 that it has, being a regular file, where all is well.

        A play looks at many such paths together, with a few processes for all of them, and probes
        those one by one that are otherwise. None: always probe.
        """
        return None

    @abstractmethod
    def compare(self, state: State) -> Change | None:
        """Return what differs from what is wanted, or None. Pure."""

    @abstractmethod
    def converge(self) -> str:
        """Return sh that makes the wanted state from any state, or fails saying why.

        It runs under ``set -e`` in a subshell, and does nothing where nothing is to do.
        """

    def replay(self, _root: str) -> str:
        """Return the command a person can run by hand to see a failure again, empty if none.

        _root: the root's folder on the host, empty for the host's own ``/``.
        """
        return ""

    @property
    def answers(self) -> tuple[Answer, ...]:
        """The dialogue of the programs that converging runs."""
        return ()


@dataclass(frozen=True)
class PathResource(Resource):
    """A resource that is one path in the root."""

    path: str

    def __post_init__(self) -> None:
        """Normalise the path."""
        object.__setattr__(self, "path", root_path(self.path, type(self).__name__))

    @property
    def label(self) -> str:
        """The kind and the path."""
        return f"{type(self).__name__.lower()} {self.path}"

    @property
    def reads(self) -> tuple[str, ...]:
        """The path itself."""
        return (self.path,)

    @property
    def writes(self) -> tuple[str, ...]:
        """The path itself."""
        return (self.path,)


def refuse_escape(resource: Resource, state: State) -> None:
    """Raise StepError where the host found that the path leads out of the root."""
    if state.fields.get("refused"):
        raise StepError(
            f"{resource.label} leads out of the root, or in circles, through a symbolic link",
            hint="a root that holds such a link is not to be trusted: build with --fresh",
        )


def text_or_none(content: bytes | None) -> str | None:
    """Return content as text for a diff, None when it is not text."""
    if content is None or b"\0" in content:
        return None
    return content.decode("utf-8", errors="backslashreplace")
