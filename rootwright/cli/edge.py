"""The edge: where errors become words and exit codes, once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

from invoke.exceptions import Exit

from rootwright.errors import Interrupted, RootwrightError
from rootwright.text import harmless


@contextlib.contextmanager
def edge() -> Iterator[None]:
    """Turn an error of ours into its message and exit code, without a traceback."""
    # A polite end from outside is an interrupt like the one from the keyboard.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except RootwrightError as e:
        raise Exit("\n".join(map(harmless, e.lines())), code=e.exit_code) from None
    except KeyboardInterrupt:
        raise Exit(
            "\n".join(Interrupted("interrupted").lines()), code=Interrupted.exit_code
        ) from None
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody to tell, now or at exit.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        raise Exit(code=1) from None
