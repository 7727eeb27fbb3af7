"""What every host is: a machine where commands run as root, on a terminal or as a stream."""

from __future__ import annotations

import base64
import os
import secrets
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

from rootwright.errors import PrivilegeError, StepError
from rootwright.hosts.terminal import Terminal
from rootwright.secret import PASSWORD_VARIABLE

GREETING_LIMIT = 128 * 1024
"""Bytes a host may print before a stream begins."""

ERRORS_LIMIT = 64 * 1024
"""Bytes kept of the end of a stream's error output, where what matters stands."""

PasswordPrompt = Callable[[str], str]
"""Asks a person for the sudo password of the named host; raises RootwrightError if it cannot."""


def last_of(chunks: Iterable[bytes]) -> bytes:
    """Return the end of what comes in chunks, in memory that does not grow with it."""
    kept = b""
    for chunk in chunks:
        kept = (kept + chunk)[-ERRORS_LIMIT:]
    return kept


class ByteStream(ABC):
    """Bytes a command on a host prints, and how it ended."""

    @abstractmethod
    def read(self, size: int) -> bytes:
        """Return up to so many bytes, none at the end."""

    @abstractmethod
    def finish(self) -> tuple[int, str]:
        """Wait for the command; return its exit status (-1 when lost), the end of its errors."""

    @abstractmethod
    def close(self) -> None:
        """Release it; a command still running loses its reader and ends."""


class Host(ABC):
    """A machine where commands run.

    name: as the inventory calls it.
    become: ``sudo``, ``none``, or None: sudo unless we are root there.
    ask: how to get a sudo password when one is needed.
    """

    def __init__(self, name: str, become: str | None, ask: PasswordPrompt) -> None:
        """Remember; nothing is connected yet."""
        self.name = name
        self.lost = ""
        self._become = become
        self._ask = ask
        self._password: str | None = None

    @abstractmethod
    def _start_terminal(self, command: str) -> Terminal:
        """Run a command line of the login shell on a terminal."""

    @abstractmethod
    def _start_stream(self, command: str, first_line: bytes) -> ByteStream:
        """Run a command line of the login shell without a terminal."""

    @abstractmethod
    def close(self) -> None:
        """Leave the host."""

    @abstractmethod
    def reach(self, port: int) -> int:
        """Let the host reach a port of our loopback; return the port of its loopback for that.

        It lasts until the host is left. Raises HostError where the host does not allow it.
        """

    @abstractmethod
    def hang_up(self) -> None:
        """End whatever runs there, now and later, from any thread: whoever reads sees the end."""

    def terminal(self, script: str, prompt: str) -> Terminal:
        """Run a sh script as root on a terminal; sudo, asked for a password, prints ``prompt``.

        Raises HostError.
        """
        return self._start_terminal(_as_root(script, self._become, "-p", prompt))

    def sudo_password(self) -> str:
        """Return what to answer to sudo's prompt: from the environment, or asked once.

        Raises PrivilegeError when sudo asks again: it did not accept the first answer.
        """
        if self._password is not None:
            raise PrivilegeError(
                "sudo does not accept the password",
                where=self.name,
                hint=f"type it again, or set {PASSWORD_VARIABLE} right",
            )
        password = os.environ.get(PASSWORD_VARIABLE) or self._ask(self.name)
        if set(password) & set("\n\r\0"):
            raise PrivilegeError(
                "the sudo password is more than one line",
                where=self.name,
                hint=f"type it again, or set {PASSWORD_VARIABLE} to the password alone",
            )
        self._password = password
        return password

    def stream(self, script: str) -> ByteStream:
        """Run a sh script as root and hand out its standard output as bytes."""
        mark = secrets.token_hex(16)
        # Where sudo does not ask, the password would be left for the script to read.
        script = f"exec </dev/null\necho {mark}\n{script}"
        command = _as_root(script, self._become, "-Sp", "")
        first = f"{self._password}\n".encode("utf-8", "surrogateescape") if self._password else b""
        return _Marked(self._start_stream(command, first), mark.encode() + b"\n", self.name)


class _Marked(ByteStream):
    """A stream that begins behind a mark: login scripts may print before our own script does."""

    def __init__(self, stream: ByteStream, mark: bytes, host: str) -> None:
        self._stream = stream
        self._mark = mark
        self._host = host

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        if not self._mark:
            return data
        greeting = data
        while data and self._mark not in greeting:
            if len(greeting) > GREETING_LIMIT:
                raise StepError("the host's greeting does not end", where=self._host)
            data = self._stream.read(size)
            greeting += data
        _, mark, data = greeting.partition(self._mark)
        if not mark:
            return b""
        self._mark = b""
        return data or self._stream.read(size)

    def finish(self) -> tuple[int, str]:
        return self._stream.finish()

    def close(self) -> None:
        self._stream.close()


def _as_root(script: str, become: str | None, flags: str, prompt: str) -> str:
    """Return a line for any login shell that runs a sh script as root.

    flags, prompt: sudo's, which takes the prompt after its flags.
    """
    # Base64 and single quotes read the same to sh, bash, zsh, fish and csh, whose words are short.
    encoded = base64.b64encode(script.encode("utf-8", "surrogateescape")).decode()
    words = " ".join(encoded[i : i + 4000] for i in range(0, len(encoded), 4000))
    if become == "none":
        return f"exec sh -c '{_DECODE}' sh {words}"
    sudo = f"sudo {flags} {shlex.quote(prompt)} -- sh -c"
    if become == "sudo":
        return f"exec {sudo} '{_DECODE}' sh {words}"
    again = _DECODE.translate({ord(char): f"\\{char}" for char in '$"'})
    other = f'rw_prompt=$1; shift; exec sudo {flags} "$rw_prompt" -- sh -c "{again}" sh "$@"'
    return (
        f"exec sh -c 'if [ \"$(id -u)\" = 0 ]; then shift; {_DECODE}; else {other}; fi' "
        f"sh {shlex.quote(prompt)} {words}"
    )


_DECODE = 'rw_carried=$(printf %s "$@" | base64 -d); set --; eval "$rw_carried"'
