"""Files, templates, lines, folders and links.

Ownership is given as a number or a name; a name means what the root's own /etc/passwd and
/etc/group say, not the host's.
"""

from __future__ import annotations

import base64
import hashlib
import os
import posixpath
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from rootwright.errors import StepError, UsageError
from rootwright.resource.base import (
    Change,
    PathResource,
    State,
    quote,
    refuse_escape,
    text_or_none,
)

DIFF_LIMIT = 256 * 1024
"""Bytes of a differing file that a probe brings back for the diff."""

CONTENT_LIMIT = 16 * 1024 * 1024
"""Bytes a file's content may have: it travels inside the request and stays in memory."""


def own_path(text: str, where: str) -> Path:
    """Return a path on the controller, where ``~`` begins one's own home and ``~user`` another's.

    where: the error says it was. Raises UsageError where there is no such user.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UsageError(
            "there is no such user, so no home either", where=where, hint="write an absolute path"
        ) from None


def read_content(path: Path, what: str, where: str, hint: str) -> bytes:
    """Return what a regular file on the controller holds.

    Anything else could keep us waiting, or give bytes without an end. what: the file is for; where,
    hint: what the error says besides. Raises UsageError for a file that cannot be read, is none,
    or has more than 16 MiB.
    """
    try:
        # A FIFO that nobody writes to would keep us in open() itself.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                lack = "it is no regular file"
            elif len(content := file.read(CONTENT_LIMIT + 1)) > CONTENT_LIMIT:
                lack = f"it has more than {CONTENT_LIMIT} bytes"
            else:
                return content
    except OSError as error:
        lack = error.strerror or str(error)
    except ValueError as error:  # a NUL in its name
        lack = str(error)
    raise UsageError(f"{what} cannot be read: {lack}", where=where, hint=hint)


def check_mode(mode: int | None, where: str) -> None:
    """Raise UsageError unless mode is None or permission bits."""
    if mode is not None and not 0 <= mode <= 0o7777:
        raise UsageError(
            f"{mode} is no file mode", where=where, hint="write it in octal, such as 0o644"
        )


def metadata_change(state: State, mode: int | None, owner: int | str, group: int | str) -> str:
    """Return how mode and ownership differ from the wanted ones, empty when they agree."""
    differs = []
    if mode is not None and state.permissions != mode:
        differs.append(f"mode {state.permissions:04o} → {mode:04o}")
    wanted = [
        state.number(key) if state.fields.get(key) else _number(given)
        for key, given in (("owner", owner), ("group", group))
    ]
    if [*state.owner] != wanted:
        differs.append(f"owner {state.owner[0]}:{state.owner[1]} → {owner}:{group}")
    return ", ".join(differs)


def _number(owner: int | str) -> int | str:
    """Return an owner as a number where it is one in a text, as chown(1) takes it."""
    return int(owner) if str(owner).isascii() and str(owner).isdigit() else owner


def _named(*owners: int | str) -> tuple[str, ...]:
    """Return the files of the root that say what number an owner is, where one is a name."""
    names = any(isinstance(_number(owner), str) for owner in owners)
    return ("/etc/passwd", "/etc/group") if names else ()


@dataclass(frozen=True)
class File(PathResource):
    """A regular file with this content.

    content: text (UTF-8) or bytes, 16 MiB at most.
    mode: permission bits; None keeps what the file has, 0o644 for a new one.
    owner, group: numbers, or names of the root's own.
    if_exists: where there is no such file, none is wanted.
    """

    content: str | bytes = field(repr=False)
    mode: int | None = 0o644
    owner: int | str = 0
    group: int | str = 0
    if_exists: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked without a host."""
        super().__post_init__()
        check_mode(self.mode, self.path)
        if len(self.data) > CONTENT_LIMIT:
            raise UsageError(
                f"the content has {len(self.data)} bytes, more than {CONTENT_LIMIT}",
                where=self.path,
                hint="put large files into a package, or fetch them with a Command",
            )

    @property
    def reads(self) -> tuple[str, ...]:
        """The path itself, and where its owners' names stand."""
        return (self.path, *_named(self.owner, self.group))

    @cached_property
    def data(self) -> bytes:
        """The content as bytes."""
        content = self.content
        return content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")

    def probe(self) -> str:
        """See the digest; the content only where it differs."""
        digest = hashlib.sha256(self.data).hexdigest()
        return quote("rw_probe_file", self.path, self.owner, self.group, digest, DIFF_LIMIT)

    def glance(self) -> tuple[str, str] | None:
        """The digest; None where only the root can say which numbers the owners' names mean."""
        if isinstance(self.owner, str) or isinstance(self.group, str):
            return None
        return self.path, hashlib.sha256(self.data).hexdigest()

    def compare(self, state: State) -> Change | None:
        """Compare kind, digest, mode and ownership."""
        refuse_escape(self, state)
        wanted = text_or_none(self.data)
        if not state.exists:
            return None if self.if_exists else Change("create", "", wanted)
        if state.is_a(stat.S_IFDIR):
            raise StepError(
                f"{self.path} is a folder where a file is wanted",
                where=self.label,
                hint="remove it first, with Absent, if it may go",
            )
        if not state.is_a(stat.S_IFREG):
            return Change(f"replace {state.describe()}", "", wanted)
        metadata = metadata_change(state, self.mode, self.owner, self.group)
        if state.fields.get("sha256") != hashlib.sha256(self.data).hexdigest():
            before = text_or_none(state.blob("b64"))
            summary = "new content" + (f", {metadata}" if metadata else "")
            return Change(summary, before, wanted if before is not None else None)
        return Change(metadata) if metadata else None

    def converge(self) -> str:
        """Write beside, then rename."""
        mode = "" if self.mode is None else f"{self.mode:o}"
        encoded = base64.b64encode(self.data).decode()
        put = quote("rw_put", self.path, mode, self.owner, self.group)
        write = f"printf %s {quote(encoded)} | base64 -d | {put}"
        if not self.if_exists:
            return write
        return f"{quote('rw_at', self.path)}\nrw_exists || exit 0\n{write}"


@dataclass(frozen=True)
class Template(File):
    """A file whose content is a jinja2 template; an undefined name is an error.

    content: the template's text.
    values: what the template may name.
    """

    values: Mapping[str, object] = field(default_factory=dict, repr=False)

    @cached_property
    def data(self) -> bytes:
        """The rendered template, as bytes."""
        import jinja2

        environment = jinja2.Environment(
            undefined=jinja2.StrictUndefined,
            keep_trailing_newline=True,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,
        )
        try:
            text = self.content if isinstance(self.content, str) else self.content.decode()
            rendered = environment.from_string(text).render(dict(self.values))
        except Exception as e:  # whatever the template's own expressions raise
            line = getattr(e, "lineno", None)
            raise UsageError(
                f"the template cannot be rendered: {e}",
                where=self.path + (f", template line {line}" if line else ""),
                hint="a template is UTF-8; every name it uses must be among its values, and be of "
                "the kind that is done with it",
            ) from None
        return rendered.encode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class Line(PathResource):
    """One line of a text file.

    line: the whole line, without its newline.
    match: an extended regular expression; the last line it matches becomes ``line``. Without it,
        or when it matches nothing, the line is appended.
    present: False removes the line, and every line that ``match`` matches.
    """

    line: str
    match: str = ""
    present: bool = True

    def __post_init__(self) -> None:
        """Refuse what is more than one line."""
        super().__post_init__()
        if "\n" in self.line or "\n" in self.match:
            raise UsageError("a line holds a newline", where=self.path, hint="give one Line each")

    @property
    def label(self) -> str:
        """The path and the line."""
        return f"line {self.path}: {self.line}"

    def _words(self) -> tuple[str, ...]:
        return (self.path, self.line, self.match, "1" if self.present else "0")

    def probe(self) -> str:
        """See what the file says and would say."""
        return quote("rw_probe_line", *self._words())

    def compare(self, state: State) -> Change | None:
        """Compare the two."""
        refuse_escape(self, state)
        if state.fields.get("same"):
            return None
        if not state.exists and not self.present:
            return None
        before, after = state.blob("b64"), state.blob("after")
        if before is None or after is None:
            return Change("set line" if self.present else "remove line", None, None)
        summary = "set line" if self.present else "remove line"
        return Change(summary, text_or_none(before), text_or_none(after))

    def converge(self) -> str:
        """Edit a copy, then rename."""
        return quote("rw_line", *self._words())


@dataclass(frozen=True)
class Directory(PathResource):
    """A folder with this mode and owner; its contents are its own affair."""

    mode: int = 0o755
    owner: int | str = 0
    group: int | str = 0

    def __post_init__(self) -> None:
        """Check the mode."""
        super().__post_init__()
        check_mode(self.mode, self.path)

    @property
    def reads(self) -> tuple[str, ...]:
        """The path itself, and where its owners' names stand."""
        return (self.path, *_named(self.owner, self.group))

    def probe(self) -> str:
        """See kind, mode and ownership."""
        return quote("rw_probe_path", self.path, self.owner, self.group)

    def compare(self, state: State) -> Change | None:
        """Compare kind, mode and ownership."""
        refuse_escape(self, state)
        if not state.exists:
            return Change(f"create, mode {self.mode:04o}")
        if not state.is_a(stat.S_IFDIR):
            raise StepError(
                f"{self.path} is a {state.describe()} where a folder is wanted",
                where=self.label,
                hint="remove it first, with Absent, if it may go",
            )
        metadata = metadata_change(state, self.mode, self.owner, self.group)
        return Change(metadata) if metadata else None

    def converge(self) -> str:
        """Make it, or set its mode and owner."""
        return quote("rw_directory", self.path, f"{self.mode:o}", self.owner, self.group)


@dataclass(frozen=True)
class Symlink(PathResource):
    """A symbolic link.

    to: the target's text, exactly.
    must_exist: refuse to make a link whose target does not exist in the root.
    """

    to: str
    must_exist: bool = False

    def __post_init__(self) -> None:
        """Refuse an empty target."""
        super().__post_init__()
        if not self.to or "\0" in self.to:
            raise UsageError("a link needs a target", where=self.path)

    def probe(self) -> str:
        """See kind and target."""
        return quote("rw_probe_path", self.path)

    def compare(self, state: State) -> Change | None:
        """Compare the target's text."""
        refuse_escape(self, state)
        if state.is_a(stat.S_IFDIR):
            raise StepError(
                f"{self.path} is a folder where a link is wanted",
                where=self.label,
                hint="remove it first, with Absent, if it may go",
            )
        if not state.exists:
            return Change(f"link to {self.to}", "", f"→ {self.to}\n")
        target = state.blob("to")
        if not state.is_a(stat.S_IFLNK) or target is None:
            return Change(f"replace {state.describe()} by a link to {self.to}")
        now = target.removesuffix(b"\n")
        if now == self.to.encode("utf-8", "surrogateescape"):
            return None
        was = now.decode(errors="backslashreplace")
        return Change(f"link to {self.to}", f"→ {was}\n", f"→ {self.to}\n")

    def converge(self) -> str:
        """Link under another name, then rename."""
        if not self.must_exist:
            return quote("rw_symlink", self.path, self.to)
        needed = posixpath.normpath(posixpath.join(posixpath.dirname(self.path), self.to))
        return quote("rw_symlink", self.path, self.to, needed)
