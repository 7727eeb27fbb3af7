"""Throwaway signing keys, shaped like Arch's: masters who sign packagers, and keys gone wrong.

The private keys live in one folder that only its owner can read, beside what is served and never
inside it. Nothing they sign means anything outside the mirror they were made for.

Sources: pacman-key(8) (the three files of a keyring, and marginal trust in the masters, three of
whom make a packager's key valid), GnuPG's ``doc/DETAILS`` (unattended key generation).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rootwright.errors import StepError

MASTERS = ("master1", "master2", "master3")
"""The keys that a keyring trusts. GnuPG wants three marginally trusted ones behind a key."""

PACKAGER = "packager"
"""Signed by every master: what the mirror is signed with."""

REVOKED = "revoked"
"""Signed by every master, and listed in ``archlinux-revoked``."""

EXPIRED = "expired"
"""Signed by every master, and past its date since 2021."""

STRANGER = "stranger"
"""In no keyring at all."""

_SIGNED = (PACKAGER, REVOKED, EXPIRED)

# Keys are made as of this date, so that one of them can have run out since.
_BORN = "20200101T000000"

_LISTED = "fingerprints"

FILES = ("archlinux.gpg", "archlinux-trusted", "archlinux-revoked")
"""What a keyring consists of, by pacman-key(8)."""


@dataclass(frozen=True)
class Keys:
    """The keys in `folder`, which `make` filled.

    fingerprints: by the names above.
    """

    folder: Path
    fingerprints: Mapping[str, str]

    @contextmanager
    def open(self) -> Iterator[Signer]:
        """Lend the keys out for signing; gpg-agent is gone again afterwards."""
        with _home(self.folder) as home:
            yield Signer(home, self.fingerprints)


@dataclass(frozen=True)
class Signer:
    """GnuPG with the private keys at hand.

    home: its home directory, at a path short enough for gpg-agent's socket.
    """

    home: Path
    fingerprints: Mapping[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment in which a program finds the keys (repo-add)."""
        return {**os.environ, "GNUPGHOME": str(self.home), "LC_ALL": "C"}

    def sign(self, path: Path, key: str = PACKAGER) -> Path:
        """Write `path`'s detached signature beside it, by `key`, and return the signature."""
        signature = path.with_name(path.name + ".sig")
        when = ["--faked-system-time", "20200601T000000"] if key == EXPIRED else []
        _gpg(
            self.home,
            *when,
            *("--yes", "--local-user", self.fingerprints[key] + "!"),
            *("--output", str(signature), "--detach-sign", str(path)),
        )
        return signature


def make(folder: Path) -> Keys:
    """Return the keys in `folder`, making them first where there are none.

    Raises StepError when gpg fails.
    """
    if not folder.is_dir():
        # Under another name until it is whole: GnuPG cannot go on from half of it.
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700, parents=True)
        with _home(partial) as home:
            found = {name: _create(home, name) for name in (*MASTERS, *_SIGNED, STRANGER)}
            for master in MASTERS:
                for name in _SIGNED:
                    _born(home, "--local-user", found[master], "--quick-sign-key", found[name])
        listed = "".join(f"{name} {fingerprint}\n" for name, fingerprint in found.items())
        (partial / _LISTED).write_text(listed)
        for path in partial.rglob("*"):
            path.chmod(0o700 if path.is_dir() else 0o600)
        partial.rename(folder)
    lines = (folder / _LISTED).read_text().splitlines()
    return Keys(folder, dict(line.split() for line in lines))


def keyring(keys: Keys) -> dict[str, bytes]:
    """Return the three files of the keyring ``archlinux`` that trusts `keys`, by file name."""
    known = [keys.fingerprints[name] for name in (*MASTERS, *_SIGNED)]
    with _home(keys.folder) as home:
        public = _gpg(home, "--export", *known)
    trusted = "".join(f"{keys.fingerprints[name]}:4:\n" for name in MASTERS)
    revoked = f"{keys.fingerprints[REVOKED]}\n"
    return dict(zip(FILES, (public, trusted.encode(), revoked.encode()), strict=True))


def _create(home: Path, name: str) -> str:
    status = _born(
        home,
        *("--status-fd", "1", "--passphrase", "", "--quick-generate-key"),
        f"Rootwright sample {name} <{name}@rootwright.invalid>",
        *("ed25519", "cert,sign", "1y" if name == EXPIRED else "never"),
    )
    for line in status.decode().splitlines():
        if " KEY_CREATED " in line:
            return line.split()[3]
    raise StepError("gpg made a key without saying which.", output=status.decode())


def _born(home: Path, *words: str) -> bytes:
    return _gpg(home, "--faked-system-time", _BORN, "--pinentry-mode", "loopback", *words)


def _gpg(home: Path, *words: str) -> bytes:
    argv = ["gpg", "--homedir", str(home), "--batch", "--no-tty", "--quiet", *words]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        raise StepError(
            "gpg could not make or use the sample mirror's throwaway keys.",
            command=" ".join(_shown(argv)),
            output=done.stderr.decode("utf-8", "replace"),
            hint="remove the sample mirror's folder and try again",
        )
    return done.stdout


def _shown(argv: Sequence[str]) -> list[str]:
    return [word or "''" for word in argv]


@contextmanager
def _home(folder: Path) -> Iterator[Path]:
    """Yield a short name for `folder`, and end the gpg-agent that GnuPG started behind it.

    A socket's path holds 107 bytes at most (unix(7)), and gpg-agent's lies in this directory.
    """
    with tempfile.TemporaryDirectory(prefix="rw-keys-") as short:
        home = Path(short) / "g"
        home.symlink_to(folder.resolve())
        try:
            yield home
        finally:
            subprocess.run(
                ["gpgconf", "--homedir", str(home), "--kill", "all"],
                capture_output=True,
                check=False,
            )
