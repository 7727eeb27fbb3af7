"""The options of a schedule, the ground it is played on, and how many faults struck."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.faults.ground import Ground
from tests.faults.schedule import Fault
from tests.faults.strike import Outcome, throw
from tests.support.engine import Engine
from tests.support.needs import lacks_program, lacks_root, needs
from tests.support.sshd import lacks_sshd
from tests.support.tiny_debian import lacks_tiny_debian


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--faults", type=int, help="how many faults")
    group.addoption("--seed", type=int, help="the seed of the schedule")
    group.addoption("--first", type=int, help="the first fault's index")


class Grounds:
    """Hands out one ground after the other: a new one where the last was spoiled."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self._factory = factory
        self._ground: Ground | None = None

    def take(self) -> Ground:
        """Return a ground on which all is well."""
        if self._ground is None:
            self._ground = Ground(self._factory.mktemp("ground"))
        return self._ground

    def throw(self, fault: Fault) -> Outcome:
        """Throw a fault at a build; where something went wrong, nobody uses the ground again."""
        outcome: Outcome | None = None
        try:
            outcome = throw(self.take(), fault)
            return outcome
        finally:
            if outcome is None or outcome.wrong:
                self.leave()

    def leave(self) -> None:
        """Have nobody use it again."""
        if self._ground is not None:
            ground, self._ground = self._ground, None
            ground.__exit__()


@pytest.fixture(scope="session")
def grounds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grounds]:
    needs(lacks_root(), lacks_sshd(), Engine.lack(), lacks_tiny_debian())
    needs(lacks_program("gpg", "gnupg"), lacks_program("mmdebstrap", "mmdebstrap"))
    made = Grounds(tmp_path_factory)
    yield made
    made.leave()


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal:
        config.pluginmanager.register(AtOnce(terminal))


class AtOnce:
    """Says what a fault did wrong when it has done it: a schedule may take an hour."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Say it."""
        if report.failed and "kind" in dict(report.user_properties):
            self._terminal.line("")
            self._terminal.line(report.longreprtext)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how often each kind struck, and how the builds ended."""
    struck: Counter[str] = Counter()
    thrown: Counter[str] = Counter()
    codes: Counter[int] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            found = dict(report.user_properties)
            if "kind" in found:
                thrown[found["kind"]] += 1
                struck[found["kind"]] += found["struck"]
                codes[found["code"]] += 1
    if thrown:
        terminalreporter.section("faults")
        for kind in sorted(thrown):
            terminalreporter.line(f"{kind:24} {struck[kind]} of {thrown[kind]} struck")
        ends = ", ".join(f"{code}: {times}" for code, times in sorted(codes.items()))
        terminalreporter.line(f"{thrown.total()} faults; exit codes {ends}")
