"""The sudo password that the environment may hold, kept from every program that we start.

A leaf: every room may use it. A process's environment is handed down to all that descends from it,
and can be read in /proc by whoever is the same user; of our own programs none needs the password.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

PASSWORD_VARIABLE = "ROOTWRIGHT_SUDO_PASSWORD"


def public_environment() -> dict[str, str]:
    """Return our environment without the password, for a program that we start."""
    return {name: value for name, value in os.environ.items() if name != PASSWORD_VARIABLE}


@contextlib.contextmanager
def held_password() -> Iterator[str]:
    """Take the password, empty where there is none, out of the environment while the block runs.

    Some programs are started by libraries, with all of the environment: a ProxyCommand of
    ~/.ssh/config, for one.
    """
    password = os.environ.pop(PASSWORD_VARIABLE, "")
    try:
        yield password
    finally:
        if password:
            os.environ[PASSWORD_VARIABLE] = password
