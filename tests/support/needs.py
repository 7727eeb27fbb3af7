"""What a test needs of the machine, and the one way to say that it is not there."""

from __future__ import annotations

import os
import shutil

import pytest


def needs(*lacks: str) -> None:
    """Skip the running test where one of the texts says what the machine lacks.

    lacks: as returned by the `lacks_…` functions; an empty one lacks nothing.
    """
    missing = "; ".join(filter(None, lacks))
    if missing:
        pytest.skip(missing)


def lacks_root() -> str:
    """Return why sessions cannot be opened here, empty where they can."""
    return "" if os.geteuid() == 0 else "only root can open a session without sudo"


def lacks_program(name: str, package: str) -> str:
    """Return which package to install for a program, empty where it is installed."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    return "" if found else f"{name} is missing: apt-get install {package}"
