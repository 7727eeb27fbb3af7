"""The keys that an image's pacman trusts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

from rootwright.module import UNRECORDED, Module, read_template
from rootwright.resource import Absent, Command, Resource, quote

State = Literal["ready", "empty", "private"]

FOLDER = "/etc/pacman.d/gnupg"

SOURCE = "/usr/share/pacman/keyrings"
"""Where a package such as archlinux-keyring has its keyring."""

RECORD = "/var/lib/pacman/local/{}-keyring-[0-9]*/desc"
"""What pacman knows of the package, by the keyring's name."""

SECRETS = tuple(f"{FOLDER}/{name}" for name in ("private-keys-v1.d", "openpgp-revocs.d"))
"""The private key of pacman's master key, and what revokes it. Who has them can make every
container of the image trust packages of his own."""

LEFTOVERS = tuple(f"{FOLDER}/{name}" for name in ("S.*", ".#*", "pubring.gpg~"))
"""Sockets, locks and the copy that gpg makes before each change."""


@dataclass(frozen=True, kw_only=True)
class Keyring(Module):
    """Make pacman's keyring from the one that a package brings, as pacman-key does.

    state: ``ready``: pacman can check signatures at once; the private key that signed the
        distribution's master keys has been destroyed. ``empty``: there is none, as in Arch's own
        reproducible image; ``pacman-key --init && pacman-key --populate`` makes one.
        ``private``: ready, and the private key stays, so that pacman-key can add keys. An image
        with it must not be given away.
    keyring: what the files in /usr/share/pacman/keyrings begin with.
    haveged: feed the kernel's random numbers from haveged meanwhile, then remove the package.
        Only a kernel before 5.6 with little to gather randomness from needs it.

    A keyring that is ready differs from build to build: its keys are signed by a random one.
    A package that brings newer keys makes it anew.
    Source: pacman-key(8); archlinux-docker's ``exclude``.
    """

    on_host = "it would take away keys that the host's owner has added"

    state: State = "ready"
    keyring: str = "archlinux"
    haveged: bool = field(default=False, metadata=UNRECORDED)

    def resources(self) -> Iterator[Resource]:
        """Yield the keyring, or its absence, and that of what must not ship."""
        if self.state not in get_args(State):
            raise self.refuse(
                f"{self.state!r} is no state of a keyring", "say ready, empty or private"
            )
        if not re.fullmatch("[a-z0-9][a-z0-9-]*", self.keyring):
            raise self.refuse(f"{self.keyring!r} is no keyring", "something like archlinux")
        if self.state == "empty":
            yield Absent((FOLDER,))
        else:
            yield self._made()
            secret = SECRETS if self.state == "ready" else ()
            yield Absent((*secret, *LEFTOVERS))
        if self.haveged:
            yield Command(
                "remove haveged",
                # The session holds the root: a lock in it is a dead process's.
                "rm -f /var/lib/pacman/db.lck\npacman -Rs --noconfirm --logfile /dev/null haveged",
                unless="! pacman -Q haveged",
                reads=("/var/lib/pacman/local",),
            )

    def _made(self) -> Command:
        checks = [f"[ -s {FOLDER}/{name} ]" for name in ("pubring.gpg", "trustdb.gpg")]
        checks.append(f"[ -s {SOURCE}/{self.keyring}.gpg ]")
        if self.state == "private":
            checks.append(f'[ -n "$(ls {SECRETS[0]})" ]')
        # The files of a package have the date at which it was made; its record in pacman's database
        # has the one at which it was installed.
        newer = f"find {SOURCE}/{self.keyring}-trusted {RECORD.format(self.keyring)}"
        checks.append(f'[ -z "$({newer} -newer {FOLDER}/pubring.gpg)" ]')
        settings = {
            "kr_name": self.keyring,
            "kr_state": self.state,
            "kr_haveged": "1" if self.haveged else "",
        }
        given = "\n".join(f"{name}={quote(value)}" for name, value in settings.items())
        return Command(
            "pacman keyring",
            f"# trust {self.keyring}\n{given}\n{read_template('keyring.sh')}",
            unless=" && ".join(checks),
            reads=(FOLDER, SOURCE, "/var/lib/pacman/local"),
            writes=(FOLDER,),
        )
