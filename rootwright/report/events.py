"""Events as JSON lines, for programs that watch a run."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from rootwright.errors import UsageError
from rootwright.report.data import (
    STATES,
    HostReport,
    ImageReport,
    ModuleReport,
    RunReport,
    json_text,
)
from rootwright.report.mask import Masker
from rootwright.report.protocol import Reporter

# Chunks of a layer pass by the thousand a second; ten lines a second are enough to watch it by.
SECONDS_BETWEEN_PROGRESS = 0.1


class EventLog(Reporter):
    """Writes each event as one JSON object on one line, as it happens.

    Every object has ``time`` (RFC 3339, UTC, milliseconds), ``event`` (the reporter's method) and,
    but for run_started and run_done, ``host``; then the event's own fields, under their names in
    the JSON report. What the file held before is replaced. Once the file can no longer be written,
    nothing more is, and `problem` says why: a full disk on this side must not end a build.

    path: the file; a FIFO or /dev/fd/N will do. masker: the secrets to hide.
    Raises UsageError when the file cannot be opened.
    """

    def __init__(self, path: str | Path, masker: Masker | None = None) -> None:
        self._path = Path(path)
        self._masker = masker or Masker()
        self._lock = threading.Lock()
        self._last_progress: dict[str, tuple[float, int]] = {}  # host: when, the layer's total
        self.problem = ""
        try:
            self._file: TextIO | None = self._path.open("w", encoding="ascii")
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            reason = getattr(error, "strerror", None) or str(error)
            raise UsageError(
                f"cannot write the events to {self._path}: {reason}",
                where="--events",
                hint="name a file in a folder that exists and that you may write to",
            ) from error

    def _write(self, event: str, host: str | None = None, **fields: object) -> None:
        told = {"host": host} | fields if host is not None else fields
        masked = self._masker.data(told, frozenset(STATES))
        assert isinstance(masked, dict)
        with self._lock:
            if self._file is None:
                return
            # The time is taken under the lock, so that the lines of a file never go back in time.
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            try:
                self._file.write(json_text({"time": now, "event": event} | masked) + "\n")
                self._file.flush()
            except OSError as error:
                self.problem = f"the events could not be written to {self._path}: {error.strerror}"
                self._drop()

    def _drop(self) -> None:
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:  # what was still buffered is lost
                self.problem = self.problem or (
                    f"the events could not be written to {self._path}: {error.strerror}"
                )
            self._file = None

    def run_started(self, playbook: str, hosts: Sequence[str]) -> None:
        """Write ``playbook`` and ``hosts``."""
        self._write("run_started", playbook=playbook, hosts=hosts)

    def play_started(self, host: str, playbook: str, module_names: Sequence[str]) -> None:
        """Write ``playbook`` and ``modules``, their names."""
        self._write("play_started", host, playbook=playbook, modules=module_names)

    def module_started(self, host: str, name: str) -> None:
        """Write ``name``."""
        self._write("module_started", host, name=name)

    def output(self, host: str, line: str) -> None:
        """Write ``line``."""
        self._write("output", host, line=line)

    def module_done(self, host: str, module: ModuleReport) -> None:
        """Write the module as the report has it, and ``note``."""
        self._write("module_done", host, **module.as_dict(), note=module.note)

    def shipping(self, host: str, total: int, target: str) -> None:
        """Write ``total`` (bytes) and ``target``."""
        with self._lock:
            self._last_progress[host] = (0.0, total)
        self._write("shipping", host, total=total, target=target)

    def shipped_bytes(self, host: str, sent: int) -> None:
        """Write ``sent`` (bytes so far), at most ten times a second and once at the end."""
        now = time.monotonic()
        with self._lock:
            last, total = self._last_progress.get(host, (0.0, -1))
            if sent != total and now - last < SECONDS_BETWEEN_PROGRESS:
                return
            self._last_progress[host] = (now, total)
        self._write("shipped_bytes", host, sent=sent)

    def image_done(self, host: str, image: ImageReport) -> None:
        """Write the image as the report has it, and ``note``."""
        self._write("image_done", host, **image.as_dict(), note=image.note)

    def note(self, host: str, text: str) -> None:
        """Write ``text``."""
        self._write("note", host, text=text)

    def play_done(self, host: str, report: HostReport) -> None:
        """Write the play's counts, ``seconds``, ``round_trips`` and ``error``."""
        fields = {key: value for key, value in report.summary().items() if key != "host"}
        error = report.error.as_dict() if report.error else None
        self._write("play_done", host, **fields, error=error)

    def run_done(self, report: RunReport) -> None:
        """Write ``playbook`` and ``exit_code``."""
        self._write("run_done", playbook=report.playbook, exit_code=report.exit_code)

    def close(self) -> None:
        """Close the file; what is told afterwards is not written."""
        with self._lock:
            self._drop()
