"""The modules: what a step is. A file dropped in here is a module.

``from rootwright.modules import Locale`` finds the class in whichever file defines it.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from typing import Any


def load_all() -> None:
    """Import every file of this folder, so that each module is in the registry."""
    for info in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{info.name}")


def __getattr__(name: str) -> Any:
    if name[:1].isupper():
        load_all()
        for info in pkgutil.iter_modules(__path__):
            file = sys.modules[f"{__name__}.{info.name}"]
            found = vars(file).get(name)
            # Not what the file itself imported.
            if found is not None and getattr(found, "__module__", "") == file.__name__:
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
