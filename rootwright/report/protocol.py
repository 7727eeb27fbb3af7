"""The events of a run, as whoever reports them is told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Self

from rootwright.report.data import HostReport, ImageReport, ModuleReport, RunReport


class Reporter(ABC):
    """One who is told of events as they happen.

    Each method may be called from several threads at once (one a host), returns soon, and does not
    raise: a report that cannot be written must not end a build. The first argument of a play's
    events is the host's name. Text may be anything a host said; to make it harmless and to hide
    secrets in it is the reporter's part.
    """

    @abstractmethod
    def run_started(self, playbook: str, hosts: Sequence[str]) -> None:
        """All plays of a command are about to start."""

    @abstractmethod
    def play_started(self, host: str, playbook: str, module_names: Sequence[str]) -> None:
        """A play is about to look at its host; module_names in the order they will be played."""

    @abstractmethod
    def module_started(self, host: str, name: str) -> None:
        """A module's change is about to be made."""

    @abstractmethod
    def output(self, host: str, line: str) -> None:
        """A running step printed a line."""

    @abstractmethod
    def module_done(self, host: str, module: ModuleReport) -> None:
        """A module is over, or nothing was to be done for it."""

    @abstractmethod
    def shipping(self, host: str, total: int, target: str) -> None:
        """A layer of total bytes is about to be sent to target."""

    @abstractmethod
    def shipped_bytes(self, host: str, sent: int) -> None:
        """So many bytes of the layer have been sent so far (not: since the last call)."""

    @abstractmethod
    def image_done(self, host: str, image: ImageReport) -> None:
        """The image is where it should be, or it was there already."""

    @abstractmethod
    def note(self, host: str, text: str) -> None:
        """There is a thing worth a line of its own."""

    @abstractmethod
    def play_done(self, host: str, report: HostReport) -> None:
        """A play is over, well or not."""

    @abstractmethod
    def run_done(self, report: RunReport) -> None:
        """All plays of the command are over."""

    def close(self) -> None:
        """Leave the terminal or the file as it should be left; may be called twice."""
        return

    def __enter__(self) -> Self:
        """Return the reporter itself, to be closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close, however the block ended."""
        self.close()


class Reporters(Reporter):
    """Tells each event to several reporters, in their order; none at all is a silent one."""

    def __init__(self, reporters: Iterable[Reporter]) -> None:
        self._reporters = tuple(reporters)

    def run_started(self, playbook: str, hosts: Sequence[str]) -> None:
        """Tell all of them."""
        for one in self._reporters:
            one.run_started(playbook, hosts)

    def play_started(self, host: str, playbook: str, module_names: Sequence[str]) -> None:
        """Tell all of them."""
        for one in self._reporters:
            one.play_started(host, playbook, module_names)

    def module_started(self, host: str, name: str) -> None:
        """Tell all of them."""
        for one in self._reporters:
            one.module_started(host, name)

    def output(self, host: str, line: str) -> None:
        """Tell all of them."""
        for one in self._reporters:
            one.output(host, line)

    def module_done(self, host: str, module: ModuleReport) -> None:
        """Tell all of them."""
        for one in self._reporters:
            one.module_done(host, module)

    def shipping(self, host: str, total: int, target: str) -> None:
        """Tell all of them."""
        for one in self._reporters:
            one.shipping(host, total, target)

    def shipped_bytes(self, host: str, sent: int) -> None:
        """Tell all of them."""
        for one in self._reporters:
            one.shipped_bytes(host, sent)

    def image_done(self, host: str, image: ImageReport) -> None:
        """Tell all of them."""
        for one in self._reporters:
            one.image_done(host, image)

    def note(self, host: str, text: str) -> None:
        """Tell all of them."""
        for one in self._reporters:
            one.note(host, text)

    def play_done(self, host: str, report: HostReport) -> None:
        """Tell all of them."""
        for one in self._reporters:
            one.play_done(host, report)

    def run_done(self, report: RunReport) -> None:
        """Tell all of them."""
        for one in self._reporters:
            one.run_done(report)

    def close(self) -> None:
        """Close all of them."""
        for one in self._reporters:
            one.close()
