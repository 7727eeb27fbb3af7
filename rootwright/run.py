"""A run: one playbook on one host or several at the same time, each play on its own."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field, replace

from rootwright import doctor
from rootwright.errors import Interrupted, RootwrightError, UsageError
from rootwright.hosts import Host, PasswordPrompt, connect
from rootwright.inventory import HostSpec
from rootwright.plan import Step, all_items, steps
from rootwright.play import BASE_FACTS, Player, vocabulary
from rootwright.playbook import Playbook, Recipe
from rootwright.report import HostReport, ImageReport, ModuleReport, Reporter, RunReport
from rootwright.resource import Bootstrap, State
from rootwright.session import Session, SessionSpec
from rootwright.ship import Shipping, architecture, ship
from rootwright.sinks import Sink
from rootwright.together import Claims, Desk, Turns

DEFAULT_WORK_DIR = "/var/lib/rootwright"

PARALLEL = 10
"""Plays at the same time, unless told."""

LEAVING = 15.0
"""Seconds an interrupted play may take to clean up: more than a host and an engine that answer."""

CONNECTING = 1.0
"""Seconds for one that has no host yet: it has nothing to clean up."""


Prepare = Callable[[Host, Mapping[str, object]], Mapping[str, object]]
"""Turns a playbook's options into those that hold on a connected host."""


def _as_they_are(_host: Host, settings: Mapping[str, object]) -> Mapping[str, object]:
    return settings


@dataclass(frozen=True)
class RunOptions:
    """What is the same for every play of a run.

    work_dir: the folder, on each host, below which roots lie.
    check: change nothing. fresh: make the root anew. accept_new: trust hosts seen the first time.
    shipping: where the image goes; None for a playbook that ships none, or to leave it.
    parallel: how many plays work at the same time.
    ask: how to get a sudo password.
    prepare: called once a host is connected; returns the playbook's options as they are there.
    """

    ask: PasswordPrompt
    work_dir: str = DEFAULT_WORK_DIR
    check: bool = False
    fresh: bool = False
    accept_new: bool = False
    shipping: Shipping | None = None
    parallel: int = PARALLEL
    prepare: Prepare = _as_they_are


@dataclass
class _Play:
    """One play, and what is known of it so far."""

    spec: HostSpec
    playbook: Playbook
    settings: Mapping[str, object]
    options: RunOptions
    reporter: Reporter
    turns: Turns
    claims: Claims
    modules: list[ModuleReport] = field(default_factory=list)
    image: ImageReport | None = None
    round_trips: int = 0
    architecture: str = ""
    started: float = field(default_factory=time.monotonic)
    host: Host | None = None
    stopped: threading.Event = field(default_factory=threading.Event)
    told: threading.Lock = field(default_factory=threading.Lock)

    @property
    def name(self) -> str:
        return self.spec.name

    def run(self) -> HostReport:
        """Wait for a turn and play; an error ends up in the report."""
        with self.turns.taken():
            self.started = time.monotonic()
            error: RootwrightError | None = None
            try:
                if not self.stopped.is_set():
                    self._play()
            except RootwrightError as e:
                e.where = e.where or self.name
                error = e
            finally:
                self.claims.leave(self.name)
            if self.stopped.is_set():
                error = Interrupted("interrupted", where=self.name)
            return self._report(error)

    def leave(self) -> HostReport:
        """Return what is known of a play that was stopped and does not end."""
        hint = "something it waits for does not answer; what was begun there ends by itself"
        hint = hint if self.host else ""
        return self._report(Interrupted("interrupted", where=self.name, hint=hint))

    def _report(self, error: RootwrightError | None) -> HostReport:
        seconds = time.monotonic() - self.started
        report = HostReport(self.name, self.modules, self.image, error, seconds, self.round_trips)
        # One that was left may end all the same, which is no news then.
        if self.told.acquire(blocking=False):
            self.reporter.play_done(self.name, report)
        return report

    def stop(self) -> None:
        """End the play from another thread; the host cleans up by itself."""
        self.stopped.set()
        if self.host:
            self.host.hang_up()

    def _play(self) -> None:
        options = self.options
        epoch = source_date_epoch(os.environ)
        facts = [*BASE_FACTS, *((fact.name, fact.script) for fact in self.playbook.facts)]
        spec = SessionSpec(
            folder=f"{options.work_dir}/{self.playbook.name}",
            who=whoami(),
            check=options.check,
            vocabulary=vocabulary(epoch),
            facts=[*facts, *((check.fact, check.script) for check in doctor.PLAYED)],
        )
        self.host = connect(self.spec, ask=options.ask, accept_new=options.accept_new)
        try:
            if self.stopped.is_set():  # while there was no host yet to hang up on
                return
            self.settings = options.prepare(self.host, self.settings)
            with Session(self.host, spec) as session:
                self._play_in(session)
        finally:
            self.host.close()

    def _play_in(self, session: Session) -> None:
        recipe = self.playbook.recipe(self.settings, session.facts)
        self.architecture = architecture(recipe, session.facts)
        self._settle(recipe)
        plan = steps(recipe)
        self.reporter.play_started(self.name, self.playbook.name, [step.name for step in plan])
        player = Player(session, plan, self.reporter, self.name, self.options.fresh)
        with self._destination(recipe) as sink:
            try:
                self._converge(session, player)
            finally:
                # What shipping asks of the session is not counted: it depends on the sink.
                self.round_trips = session.round_trips
            if sink:
                self._ship(session, recipe, sink)

    def _settle(self, recipe: Recipe) -> None:
        """Where names depend on what the hosts are, wait until none of them is shared."""
        shipping = self.options.shipping
        if recipe.image and shipping and shipping.undecided:
            with self.turns.lent():
                self.claims.settle(self.name, shipping.places(self.name, self.architecture))
            if self.stopped.is_set():
                raise Interrupted("interrupted", where=self.name)

    def _converge(self, session: Session, player: Player) -> None:
        states = player.observe()
        makes_root = _makes_root(player.steps, states, self.options.fresh)
        doctor.require(session.facts, self.name, room=makes_root)
        if self.options.check:
            self.modules.extend(player.check(states))
        else:
            player.apply(states, self._done)

    @contextlib.contextmanager
    def _destination(self, recipe: Recipe) -> Iterator[Sink | None]:
        """Open the place the image goes to, before it takes minutes to make one; None for none."""
        if not recipe.image or not self.options.shipping or self.options.check:
            yield None
            return
        with contextlib.closing(self.options.shipping.sink(self.name, self.architecture)) as sink:
            if sink.note:
                self.reporter.note(self.name, sink.note)
            yield sink

    def _ship(self, session: Session, recipe: Recipe, sink: Sink) -> None:
        assert self.host
        assert self.options.shipping
        tags = self.options.shipping.names(self.name, self.architecture)
        self.image = ship(session, self.host, recipe, sink, tags, self.reporter)
        self.reporter.image_done(self.name, self.image)

    def _done(self, report: ModuleReport) -> None:
        self.modules.append(report)
        self.reporter.module_done(self.name, report)


def _begin(plays: Sequence[_Play]) -> list[Future[HostReport]]:
    """Play, each in a thread that does not keep the program from ending."""
    futures: list[Future[HostReport]] = []

    def work(play: _Play, future: Future[HostReport]) -> None:
        try:
            future.set_result(play.run())
        except BaseException as e:  # whoever waits for it raises it
            future.set_exception(e)

    for play in plays:
        futures.append(Future())
        threading.Thread(target=work, args=(play, futures[-1]), daemon=True).start()
    return futures


def run(
    playbook: Playbook,
    plays: Sequence[tuple[HostSpec, Mapping[str, object]]],
    options: RunOptions,
    reporter: Reporter,
) -> RunReport:
    """Play a playbook on hosts, at the same time, and return what became of each.

    plays: the hosts, each with the playbook's options for it.
    KeyboardInterrupt ends every play and is reported as such, at once the second time.
    """
    desk, turns = Desk(options.ask), Turns(options.parallel)
    claims = Claims([spec.name for spec, _ in plays])
    options = replace(options, ask=desk.ask)
    started = [
        _Play(spec, playbook, given, options, reporter, turns, claims) for spec, given in plays
    ]
    reporter.run_started(playbook.name, [play.name for play in started])
    futures = _begin(started)
    try:
        desk.serve(futures)
    except KeyboardInterrupt:
        desk.closed.set()
        for play in started:
            play.stop()
        claims.close()
        turns.end(len(started))
        wait(futures, CONNECTING)
        wait([f for play, f in zip(started, futures, strict=True) if play.host], LEAVING)
    hosts = [
        future.result() if future.done() else play.leave()
        for play, future in zip(started, futures, strict=True)
    ]
    report = RunReport(playbook.name, _shared([given for _, given in plays]), hosts)
    reporter.run_done(report)
    return report


def _shared(options: Sequence[Mapping[str, object]]) -> dict[str, object]:
    first, *others = options
    return {k: v for k, v in first.items() if all(other.get(k) == v for other in others)}


def whoami() -> str:
    """Return who we are, to be named to others who find a root locked."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # as in a container that runs as any number
        user = f"user {os.getuid()}"
    return f"{user}@{socket.gethostname()} (process {os.getpid()})"


def source_date_epoch(environment: Mapping[str, str]) -> str:
    """Return SOURCE_DATE_EPOCH, empty where it is not set.

    Raises UsageError when it is not a number of seconds. Source: the specification at
    https://reproducible-builds.org/specs/source-date-epoch/
    """
    value = environment.get("SOURCE_DATE_EPOCH", "")
    if value and not (value.isdecimal() and len(value) < 12):
        raise UsageError(
            f"SOURCE_DATE_EPOCH is no number of seconds: {value[:40]!r}",
            where="the environment",
            hint="unset it, or give the seconds since 1970, as `date +%s` prints them",
        )
    return value


def _makes_root(plan: Sequence[Step], states: Mapping[int, State], fresh: bool) -> bool:
    return any(
        isinstance(item.resource, Bootstrap)
        and (fresh or item.resource.compare(states.get(item.index, State())))
        for item in all_items(plan)
    )
