"""The edge: where errors become words and exit codes, once."""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TextIO

from invoke.exceptions import Exit

from rootwright.errors import Interrupted, RootwrightError, StepError
from rootwright.text import harmless


@contextlib.contextmanager
def edge() -> Iterator[None]:
    """Turn an error of ours into its message and exit code, without a traceback."""
    # A polite end from outside is an interrupt like the one from the keyboard. So is a terminal's
    # end, unless we were told that it does not matter, see nohup(1).
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        try:
            yield
        finally:
            if sys.stdout:  # there is none where it was closed
                sys.stdout.flush()  # else what cannot be written is found out too late to be told
    except RootwrightError as e:
        raise Exit("\n".join(map(harmless, e.lines())), code=e.exit_code) from None
    except KeyboardInterrupt:
        raise Exit(
            "\n".join(Interrupted("interrupted").lines()), code=Interrupted.exit_code
        ) from None
    except OSError as e:
        if e.errno in (errno.ENOSPC, errno.EDQUOT):
            _silence(sys.stdout)
            full = StepError(
                f"cannot write {e.filename or 'the output'}: {e.strerror}",
                hint="make room there, then run it again",
            )
            raise Exit("\n".join(map(harmless, full.lines())), code=full.exit_code) from None
        if e.errno not in (errno.EPIPE, errno.EIO):
            raise
        # Whoever read our output has gone; there is nobody to tell, now or at exit.
        _silence(sys.stdout, sys.stderr)
        # EIO is a terminal that was closed.
        raise Exit(code=Interrupted.exit_code if e.errno == errno.EIO else 1) from None


def _silence(*streams: TextIO) -> None:
    """Have what was not written yet go nowhere, instead of failing at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream.fileno())


def deafen() -> None:
    """Have interrupts do nothing: all is done, and the exit code must say what was done."""
    # Not ignored at once: programs that are started would inherit that. But the interpreter's own
    # end, which takes a while, gives handlers up.
    _hear(lambda *_: None)
    atexit.register(_hear, signal.SIG_IGN)


def _hear(handler: Callable[..., None] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)
