"""Users and groups."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from rootwright.module import Module, read_template
from rootwright.resource import Change, Command, Resource, State, quote

_NAME = re.compile(r"[a-z_][a-z0-9_.-]{0,30}\$?")
_HASH = re.compile(r"[!*]|!?\$[A-Za-z0-9]+\$[A-Za-z0-9./$=,_-]+")

_FILES = tuple(
    f"/etc/{name}{backup}"
    for name in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid")
    for backup in ("", "-")
)


@dataclass(frozen=True, kw_only=True)
class Group:
    """One group.

    gid: its number; None lets the root choose.
    system: choose from the numbers for the system.
    present: False removes it.
    """

    name: str
    gid: int | None = None
    system: bool = False
    present: bool = True

    def __str__(self) -> str:
        """The group, for the image's history."""
        return f"@{self.name}" if self.present else f"-@{self.name}"


@dataclass(frozen=True, kw_only=True)
class User:
    """One user. What is None is left as it is, or to the root's own defaults.

    uid: its number. group: its own group, which must exist; by default one of its name is made.
    groups: the further groups that it is in, and no others.
    home: its home folder, made when the user is.
    shell: the program that it gets after login. comment: its full name.
    system: choose from the numbers for the system.
    password_hash: as crypt(5) has it, ``*`` for none; it is kept out of the image's history, of
        diffs and of every process's arguments.
    present: False removes the user, and leaves its files.
    """

    name: str
    uid: int | None = None
    group: str | None = None
    groups: tuple[str, ...] | None = None
    home: str | None = None
    shell: str | None = None
    comment: str | None = None
    system: bool = False
    password_hash: str | None = field(default=None, repr=False)
    present: bool = True

    def __str__(self) -> str:
        """The user, for the image's history, without the password."""
        return self.name if self.present else f"-{self.name}"


@dataclass(frozen=True)
class _Password(Resource):
    """A user's password, which no process's arguments and no diff may show."""

    user: str
    hash: str = field(repr=False)

    @property
    def label(self) -> str:
        """The user."""
        return f"password of {self.user}"

    @property
    def reads(self) -> tuple[str, ...]:
        """The file that holds it."""
        return ("/etc/shadow",)

    @property
    def writes(self) -> tuple[str, ...]:
        """The same."""
        return ("/etc/shadow",)

    def probe(self) -> str:
        """See the digest of what stands there."""
        name = quote(self.user)
        return (
            'if rw_at /etc/shadow && [ -f "$rw_path" ] && [ ! -L "$rw_path" ]; then '
            f"printf 'sha256=%s' \"$(RW_NAME={name} awk -F: '$1 == ENVIRON[\"RW_NAME\"] "
            '{ printf "%s", $2 }\' "$rw_path" | sha256sum | cut -c 1-64)"; fi'
        )

    def compare(self, state: State) -> Change | None:
        """Compare the digests."""
        wanted = hashlib.sha256(self.hash.encode()).hexdigest()
        return None if state.fields.get("sha256") == wanted else Change("set the password")

    def converge(self) -> str:
        """Write the file anew; the password goes through a pipe."""
        name = quote(self.user)
        return (
            "rw_in /etc/shadow\n"
            f"export RW_NAME={name}\n"
            'awk -F: \'$1 == ENVIRON["RW_NAME"] { found = 1 } END { exit !found }\' "$rw_path" || '
            f"rw_fail {quote(f'the root has no user {self.user}')}\n"
            f"printf '%s\\n' {quote(self.hash)} | awk -F: -v OFS=: '"
            "NR == FNR { hash = $0; next } "
            '$1 == ENVIRON["RW_NAME"] { $2 = hash } { print }\' - "$rw_path" | '
            "rw_put /etc/shadow '' '' ''"
        )


@dataclass(frozen=True, kw_only=True)
class Users(Module):
    """Have users and groups, through the root's own useradd, usermod and groupadd.

    groups: made before, and removed after, the users.
    users: as `User` says; what it says of a user that exists already is set, but its number stays
        where files may belong to it: another number is an error.

    Source: useradd(8), usermod(8), groupadd(8), shadow(5).
    """

    users: tuple[User, ...] = ()
    groups: tuple[Group, ...] = ()

    def resources(self) -> Iterator[Resource]:
        """Yield the groups, the users and their passwords."""
        entries: list[User | Group] = [*self.groups, *self.users]
        for entry in entries:
            if not _NAME.fullmatch(entry.name):
                raise self.refuse(f"{entry.name!r} is no name for a user", "something like app")
        for group in self.groups:
            if group.present:
                yield self._group(group)
        for user in self.users:
            self._check(user)
            yield self._user(user)
            if user.present and user.password_hash is not None:
                yield _Password(user.name, user.password_hash)
        for group in self.groups:
            if not group.present:
                yield self._group(group)

    def _check(self, user: User) -> None:
        if user.name == "root" and not user.present:
            raise self.refuse("a root without the user root does not work")
        for name in (*(user.groups or ()), *([user.group] if user.group else ())):
            if not _NAME.fullmatch(name):
                raise self.refuse(f"{name!r} is no name for a group", "something like adm")
        for path in (user.home, user.shell):
            if path is not None and not re.fullmatch(r"/[^:\s]*", path):
                raise self.refuse(f"{path!r} is no path for a user's home or shell")
        if user.comment is not None and re.search(r"[:\n]", user.comment):
            raise self.refuse("a user's comment cannot hold a colon or a newline")
        if user.password_hash is not None and not _HASH.fullmatch(user.password_hash):
            raise self.refuse(
                f"the password hash of {user.name} is none",
                "`mkpasswd` or `openssl passwd -6` makes one; give that, not the password",
            )

    def _group(self, group: Group) -> Command:
        settings = {
            "us_name": group.name,
            "us_gid": "" if group.gid is None else str(group.gid),
            "us_system": "1" if group.system else "",
        }
        verb = "group" if group.present else "no_group"
        return self._command(f"group {group.name}", f"have {group}", settings, verb, ())

    def _user(self, user: User) -> Command:
        settings = {
            "us_name": user.name,
            "us_uid": "" if user.uid is None else str(user.uid),
            "us_group": user.group or "",
            "us_groups": "" if user.groups is None else "=" + ",".join(sorted(set(user.groups))),
            "us_home": user.home or "",
            "us_shell": user.shell or "",
            "us_comment": "" if user.comment is None else f"={user.comment}",
            "us_system": "1" if user.system else "",
        }
        verb = "user" if user.present else "no_user"
        places = (user.home or "/home", "/var/mail", "/var/spool/mail")
        return self._command(f"user {user.name}", f"have {user}", settings, verb, places)

    def _command(
        self, name: str, what: str, settings: dict[str, str], verb: str, places: tuple[str, ...]
    ) -> Command:
        given = "\n".join(f"{key}={quote(value)}" for key, value in settings.items())
        common = read_template("users.sh")
        return Command(
            name,
            f"# {what}\n{given}\n{common}\nus_make_{verb}",
            unless=f"{given}\n{common}\nus_is_{verb}",
            reads=("/etc/passwd", "/etc/group"),
            writes=(*_FILES, *places),
        )
