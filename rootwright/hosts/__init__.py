"""Hosts: this machine, or one reached over SSH, and the privilege that a build needs there."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rootwright.errors import PrivilegeError
from rootwright.hosts.base import ByteStream, Host, PasswordPrompt
from rootwright.secret import PASSWORD_VARIABLE

if TYPE_CHECKING:
    from rootwright.inventory import HostSpec

__all__ = [
    "ByteStream",
    "Host",
    "PasswordPrompt",
    "ask_on_terminal",
    "connect",
    "prompt_for",
]


def connect(spec: HostSpec, *, ask: PasswordPrompt, accept_new: bool = False) -> Host:
    """Return a host one can open a session on: this machine, or one reached over SSH.

    Raises HostError or HostKeyError.
    """
    if spec.local:
        from rootwright.hosts.local import LocalHost

        return LocalHost(spec.name, spec.become, ask)
    # fabric costs an eighth of a second to import: not for those who stay at home.
    from rootwright.hosts.ssh import SSHHost

    return SSHHost(spec, ask, accept_new)


def prompt_for(password: str) -> PasswordPrompt:
    """Return what answers with a password, or, where that is empty, asks on the terminal."""
    return (lambda _: password) if password else ask_on_terminal


def ask_on_terminal(host: str) -> str:
    """Ask for a sudo password on the controller's terminal.

    Raises PrivilegeError when there is nobody to ask.
    """
    import getpass

    lack = "there is no terminal to ask on"
    if sys.stdin.isatty():
        try:
            return getpass.getpass(f"sudo password on {host}: ", stream=sys.stderr)
        except EOFError:
            lack = "none was typed"
    raise PrivilegeError(
        f"sudo wants a password and {lack}",
        where=host,
        hint=f"set {PASSWORD_VARIABLE}, or allow passwordless sudo",
    )
