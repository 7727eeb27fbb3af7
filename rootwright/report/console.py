"""What a person sees of a run, on a terminal or in a log."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TextIO

from rootwright.report import lines as say
from rootwright.report.data import ChangeReport, HostReport, ImageReport, ModuleReport, RunReport
from rootwright.report.lines import Line
from rootwright.report.live import Doing, Region
from rootwright.report.mask import Masker
from rootwright.report.protocol import Reporter
from rootwright.text import cells, harmless, pad, terminal_text

_TICK = 0.1
# A step that is over sooner gets no live line: it would only flicker.
_PATIENCE = 0.2
# The end of a line of output that no terminal is wide enough for is not worth cleaning.
_WIDEST_OUTPUT = 1000
# More hosts than this are counted rather than named.
_NAMED = 5


class Console(Reporter):
    """Prints one line a module, live lines while something runs, and a recap.

    Live lines, bars and colours are for a terminal only (and none if TERM is dumb; no colours if
    NO_COLOR is set); elsewhere the same lines come plain. Every text passes one gate, where
    secrets are hidden and whatever could act on a terminal is made visible.

    stream: where to print, standard error unless told. diff: show contents compared. check: show a
    summary of every change. verbose: show all output, and the summaries without check.
    masker: the secrets to hide; more may be added to it at any time.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        diff: bool = False,
        check: bool = False,
        verbose: bool = False,
        masker: Masker | None = None,
    ) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._diff = diff
        self._check = check
        self._verbose = verbose
        self._masker = masker or Masker()
        self._terminal = self._stream.isatty() and os.environ.get("TERM", "dumb") not in (
            "",
            "dumb",
            "unknown",
        )
        self._colour = self._terminal and not os.environ.get("NO_COLOR")  # no-color.org
        # One lock for everything, the ticker included: what is printed is printed whole.
        self._lock = threading.RLock()
        self._hosts: list[str] = []
        self._over: set[str] = set()
        self._name_width = 0
        self._doing: dict[str, Doing] = {}
        self._region: Region | None = None
        self._ticker: threading.Thread | None = None
        self._closing = threading.Event()
        self._pending: list[Line] = []  # clean lines not printed yet
        self._paused = False
        self._gone = False  # the terminal, or whoever read the pipe

    # The one gate.

    def _clean(self, line: Line) -> Line:
        return tuple((self._clean_text(text), style) for text, style in line)

    def _clean_text(self, text: str) -> str:
        # A newline inside a line would let a file's name pass for a line of ours.
        return harmless(self._masker.text(text)).replace("\n", "^J")

    def _print(self, *block: Line) -> None:
        """Print lines that belong together; call it with the lock held.

        Above live lines they are printed with the next tick, when those are drawn anew anyway: a
        drawing takes milliseconds, and fifty hosts may report hundreds of modules in a moment.
        """
        self._pending += [self._trimmed(self._clean(line)) for line in block]
        if self._region is None or not self._region.shown:
            self._flush()

    def _flush(self) -> None:
        if self._paused:
            return
        lines, self._pending = self._pending, []
        text = "".join(say.ansi(line, colour=self._colour) + "\n" for line in lines)
        if text and not self._gone:
            try:
                self._stream.write(text)
                self._stream.flush()
            except OSError:  # a closed pipe, a terminal hung up: no reason to end a build
                self._gone = True

    @staticmethod
    def _trimmed(line: Line) -> Line:
        spans = [span for span in line if span[0]]
        while spans and not spans[-1][0].rstrip(" "):
            spans.pop()
        if spans:
            text, style = spans[-1]
            spans[-1] = (text.rstrip(" "), style)
        return tuple(spans)

    # The live lines.

    def _set_doing(self, host: str, doing: Doing | None) -> None:
        if doing is None:
            self._doing.pop(host, None)
        else:
            self._doing[host] = doing
        if self._terminal and self._ticker is None and not self._closing.is_set():
            self._ticker = threading.Thread(target=self._tick, name="console", daemon=True)
            self._ticker.start()
            atexit.register(self.close)  # a hidden cursor would outlive us

    def _tick(self) -> None:
        while not self._closing.wait(_TICK):
            with self._lock:
                if not (self._closing.is_set() or self._paused or self._gone):
                    self._draw()

    def _draw(self) -> None:
        steps: list[Line] = []
        bars: list[tuple[str, Doing]] = []
        now = time.monotonic()
        # With lines of other hosts on show there is nothing to be patient for: they would jump.
        patience = 0 if len(self._doing) > 1 and self._region is not None else _PATIENCE
        for host in self._hosts:
            doing = self._doing.get(host)
            if doing is None or now - doing.since < patience:
                continue
            if doing.sent < doing.total:
                bars.append((self._clean_text(f"{self._prefix(host)}{doing.state}"), doing))
            else:
                steps.append(self._live_line(host, doing, now))
        if not steps and not bars:
            self._stand_still()
            return
        lines, self._pending = self._pending, []
        try:
            if self._region is None:
                self._region = Region(self._stream, colour=self._colour)
            self._region.draw(steps, bars, lines, self._tally())
        except OSError:
            self._gone = True

    def _tally(self) -> str:
        if len(self._hosts) <= _NAMED:
            return ""
        return f"{len(self._over)} of {len(self._hosts)} hosts done"

    def _stand_still(self) -> None:
        """Take the live lines away, and print what waited for the next drawing."""
        if self._region is not None:
            try:
                self._region.stop()
            except OSError:
                self._gone = True
        self._flush()

    def _live_line(self, host: str, doing: Doing, now: float) -> Line:
        output = self._masker.text(doing.last)[:_WIDEST_OUTPUT]
        words = " ".join(terminal_text(output).split())
        begin = say.columns(
            self._prefix(host), doing.state, doing.name, self._name_width, now - doing.since
        )
        return self._clean((*begin, (f"  {words}", "dim")))

    def _prefix(self, host: str) -> str:
        if len(self._hosts) < 2:
            return ""
        return pad(host, max(map(cells, self._hosts))) + "  "

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Keep the terminal still for the block, as for the question for a password.

        What other hosts report meanwhile is printed afterwards.
        """
        with self._lock:
            already = self._paused
            self._stand_still()
            self._paused = True
        try:
            yield
        finally:
            with self._lock:
                self._paused = already
                self._stand_still()

    # The events.

    def _announce(self, playbook: str, hosts: Sequence[str]) -> None:
        new = [host for host in hosts if host not in self._hosts]
        if not new:
            return
        self._hosts += new
        where = ", ".join(new) if len(new) <= _NAMED else f"{len(new)} hosts"
        remark = ", a check: nothing is changed" if self._check else ""
        self._print(((f"{playbook} on {where}", "bold"), (remark, "")))

    def run_started(self, playbook: str, hosts: Sequence[str]) -> None:
        """Print what is played where."""
        with self._lock:
            self._announce(playbook, hosts)

    def play_started(self, host: str, playbook: str, module_names: Sequence[str]) -> None:
        """Show that the host is being looked at."""
        with self._lock:
            self._announce(playbook, [host])
            widths = [min(cells(name), say.WIDEST_NAME) for name in (*module_names, "image")]
            self._name_width = max(self._name_width, *widths)
            self._set_doing(host, Doing("observing", ""))

    def module_started(self, host: str, name: str) -> None:
        """Show that the module runs."""
        with self._lock:
            self._set_doing(host, Doing("running", name))

    def output(self, host: str, line: str) -> None:
        """Show the line beside the running step; print it, too, if all output is wanted."""
        with self._lock:
            doing = self._doing.get(host)
            if doing is not None and line.strip():
                doing.last = line
            if self._verbose:
                words = terminal_text(self._masker.text(line))
                self._print(
                    *(
                        ((self._prefix(host), "bold"), (f"    {one}", "dim"))
                        for one in words.split("\n")
                    )
                )

    def module_done(self, host: str, module: ModuleReport) -> None:
        """Print the module's line, and its changes where they are wanted."""
        changes: list[Line] = []
        if self._check or self._diff or self._verbose:
            summaries = self._check or self._verbose
            for change in module.changes:
                changes += say.change_lines(self._hidden(change), check=summaries, diff=self._diff)
        with self._lock:
            self._set_doing(host, None)
            line = say.module_line(self._prefix(host), module, self._name_width)
            self._print(line, *changes)

    def _hidden(self, change: ChangeReport) -> ChangeReport:
        """Return the change with the secrets out of its contents before they are cut into lines."""
        before = None if change.before is None else self._masker.text(change.before)
        after = None if change.after is None else self._masker.text(change.after)
        return replace(change, before=before, after=after)

    def shipping(self, host: str, total: int, target: str) -> None:
        """Show a bar."""
        with self._lock:
            self._set_doing(host, Doing("shipping", "image", total=total, target=target))

    def shipped_bytes(self, host: str, sent: int) -> None:
        """Move the bar; when it is full, say what is waited for."""
        with self._lock:
            doing = self._doing.get(host)
            if doing is not None:
                doing.sent = sent
                if sent >= doing.total:
                    doing.last = f"{say.size_text(sent)} sent, waiting for {doing.target}"

    def image_done(self, host: str, image: ImageReport) -> None:
        """Print the image's line, like a module's."""
        with self._lock:
            doing = self._doing.get(host)
            sent_in = time.monotonic() - doing.since if doing is not None and doing.target else None
            self._set_doing(host, None)
            line = say.columns(self._prefix(host), image.state, "image", self._name_width, sent_in)
            self._print((*line, (f"  {say.image_note(image)}", "")))

    def note(self, host: str, text: str) -> None:
        """Print the text, aligned with what the modules' lines say."""
        with self._lock:
            first, *others = text.split("\n")
            begin = ((self._prefix(host), "bold"), (pad("note", say.STATE_WIDTH) + "  ", ""))
            indent = " " * cells("".join(part for part, _ in begin))
            self._print((*begin, (first, "")), *(((indent + other, ""),) for other in others))

    def play_done(self, host: str, report: HostReport) -> None:
        """Print the error that ended the play, if one did."""
        with self._lock:
            self._set_doing(host, None)
            self._over.add(host)
            if report.error is not None:
                self._print(*say.error_lines(self._prefix(host), report.error))

    def run_done(self, report: RunReport) -> None:
        """Print the recap."""
        with self._lock:
            self._doing.clear()
            if report.hosts:
                self._print((), *say.recap_lines(report, check=self._check))

    def close(self) -> None:
        """Take the live lines away and give the cursor back; later events are still printed."""
        self._closing.set()
        with self._lock:
            self._doing.clear()
            self._paused = False
            self._stand_still()
        atexit.unregister(self.close)
