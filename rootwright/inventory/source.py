"""What an inventory is read from: a file or a program, neither without bounds."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import stat
import subprocess
import time
from pathlib import Path
from typing import NoReturn

from rootwright.errors import InventoryError
from rootwright.inventory.text import shown
from rootwright.secret import public_environment
from rootwright.text import terminal_text

MAX_BYTES = 16 << 20
"""The largest inventory read, so that a mistaken path (a device, a tar) ends in an error."""

SECONDS = 120.0
"""How long a program may take to say all it knows."""

_LAST_WORDS = 2000  # bytes of a program's complaint that are shown


def read_file(path: Path) -> bytes:
    """Return what a file holds, and a byte more than is allowed where it holds that.

    Raises FileNotFoundError; InventoryError for a file that cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        what = f"the inventory cannot be read: {getattr(error, 'strerror', None) or error}"
        hint = "name a file that you may read"
        raise InventoryError(what, where=shown(str(path)), hint=hint) from None


def decoded(data: bytes, where: str) -> str:
    """Return the text that bytes are; a byte order mark is let pass.

    where: what to name in errors.
    Raises InventoryError with the line for what is no UTF-8, and for too much.
    """
    if len(data) > MAX_BYTES:
        what = f"the inventory is larger than {MAX_BYTES >> 20} MiB"
        raise InventoryError(what, where=where, hint="name an inventory in TOML or JSON")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InventoryError(
            f"the inventory is not text in UTF-8: byte 0x{error.object[error.start]:02x}",
            where=f"{where}:{line}",
            hint="save it as UTF-8",
        ) from None


def is_program(path: Path) -> bool:
    """Return whether an inventory is to be run: a regular file that somebody may execute."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(mode) and bool(mode & 0o111)


class Program:
    """An executable inventory. It may be asked several things; all answers take one time.

    It has no terminal and no input: one that asks a person something ends instead of waiting.
    """

    def __init__(self, path: Path) -> None:
        """Remember; nothing runs yet."""
        self.path = path
        self._end = time.monotonic() + SECONDS

    def ask(self, *arguments: str) -> bytes:
        """Run it and return what it prints.

        Raises InventoryError when it cannot be run, fails, prints too much or takes too long.
        """
        where = " ".join(map(shown, [str(self.path), *arguments]))
        try:
            process = subprocess.Popen(
                [self.path.absolute(), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=public_environment(),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
            raise InventoryError(
                f"the inventory cannot be run: {getattr(error, 'strerror', None) or error}",
                where=where,
                hint="begin it with a line such as #!/usr/bin/env python3; a file that is no "
                f"program must not be executable: chmod -x {shown(str(self.path))}",
            ) from None
        try:
            said, complaint = self._listen(process, where)
            status = process.wait(max(0.0, self._end - time.monotonic()))
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what it has started, too
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                self._too_long(where)
            raise
        finally:
            for pipe in (process.stdout, process.stderr):
                if pipe:
                    pipe.close()
        if status:
            how = f"ended with status {status}" if status > 0 else f"was ended by signal {-status}"
            raise InventoryError(
                f"the inventory {how}",
                where=where,
                output=terminal_text(complaint.decode(errors="backslashreplace")).strip(),
                hint="run it by hand: it must print JSON and end with status 0",
            )
        return said

    def _listen(self, process: subprocess.Popen[bytes], where: str) -> tuple[bytes, bytes]:
        """Return all that it prints, and the end of its complaints."""
        said, complaint = bytearray(), b""
        with selectors.DefaultSelector() as pipes:
            for pipe in (process.stdout, process.stderr):
                assert pipe
                pipes.register(pipe, selectors.EVENT_READ)
            while pipes.get_map():
                ready = pipes.select(max(0.0, self._end - time.monotonic()))
                if not ready:
                    self._too_long(where)
                for key, _ in ready:
                    data = os.read(key.fd, 1 << 16)
                    if not data:
                        pipes.unregister(key.fileobj)
                    elif key.fileobj is process.stdout:
                        said += data
                    else:
                        complaint = (complaint + data)[-_LAST_WORDS:]
                if len(said) > MAX_BYTES:
                    raise InventoryError(
                        f"the inventory prints more than {MAX_BYTES >> 20} MiB",
                        where=where,
                        hint="run it by hand: it must print JSON and end",
                    )
        return bytes(said), complaint

    def _too_long(self, where: str) -> NoReturn:
        raise InventoryError(
            f"the inventory is not done after {SECONDS:.0f} seconds",
            where=where,
            hint="run it by hand, keep what it prints in a file, and name that",
        )
