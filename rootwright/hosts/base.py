"""What every host is: a machine where commands run as root, on a terminal or as a stream."""

from __future__ import annotations

import base64
import os
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable

from rootwright.errors import PrivilegeError
from rootwright.hosts.terminal import Terminal

PASSWORD_VARIABLE = "ROOTWRIGHT_SUDO_PASSWORD"

PasswordPrompt = Callable[[str], str]
"""Asks a person for the sudo password of the named host; raises RootwrightError if it cannot."""


class ByteStream(ABC):
    """Bytes a command on a host prints, and how it ended."""

    @abstractmethod
    def read(self, size: int) -> bytes:
        """Return up to so many bytes, none at the end."""

    @abstractmethod
    def finish(self) -> tuple[int, str]:
        """Wait for the command; return its exit status (-1 when lost) and its error output."""

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
        self._terminal: Terminal | None = None

    @abstractmethod
    def _start_terminal(self, command: str) -> Terminal:
        """Run a command line of the login shell on a terminal."""

    @abstractmethod
    def _start_stream(self, command: str, first_line: bytes) -> ByteStream:
        """Run a command line of the login shell without a terminal."""

    @abstractmethod
    def close(self) -> None:
        """Leave the host."""

    def hang_up(self) -> None:
        """End whatever runs there, from any thread."""
        if self._terminal:
            self._terminal.hang_up()

    def terminal(self, script: str, prompt: str) -> Terminal:
        """Run a sh script as root on a terminal; sudo, asked for a password, prints ``prompt``.

        Raises HostError.
        """
        sudo = f"sudo -p {shlex.quote(prompt)} --"
        self._terminal = self._start_terminal(_as_root(script, self._become, sudo))
        return self._terminal

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
        self._password = os.environ.get(PASSWORD_VARIABLE) or self._ask(self.name)
        return self._password

    def stream(self, script: str) -> ByteStream:
        """Run a sh script as root and hand out its standard output as bytes."""
        command = _as_root(script, self._become, "sudo -S -p '' --")
        first = b"" if self._password is None else self._password.encode() + b"\n"
        return self._start_stream(command, first)


def _as_root(script: str, become: str | None, sudo: str) -> str:
    """Return a line for any login shell that runs a sh script as root."""
    inner = _carried(script)
    if become == "none":
        return f"exec {inner}"
    if become == "sudo":
        return f"exec {sudo} {inner}"
    choose = f'if [ "$(id -u)" = 0 ]; then exec {inner}; else exec {sudo} {inner}; fi'
    return f"exec {_carried(choose)}"


def _carried(script: str) -> str:
    # Base64 in single quotes reads the same to sh, bash, zsh, fish and csh.
    encoded = base64.b64encode(script.encode("utf-8", "surrogateescape")).decode()
    return f"sh -c 'eval \"$(printf %s {encoded} | base64 -d)\"'"
