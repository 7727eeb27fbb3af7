"""The schedule: what breaks, when and under which build, as a pure function of seed and index.

Faults are dealt in rounds. A round has each kind as often as `KINDS` says, in an order of its own,
so that a short schedule has met every kind; all else about a fault is thrown with dice that know
nothing but the seed and the fault's index.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from tests.support import http_server
from tests.support.delay_proxy import Direction, Then

Sink = Literal["docker", "archive"]

Task = Literal["again", "change", "fresh", "anew", "first"]
"""A rebuild of what is converged; one whose options changed, so that the name is to move; that,
with the root made anew, from the copy that is kept or, ``anew``, from the mirror; and that again,
where there is nothing yet."""

Way = Literal["ssh", "mirror", "engine"]
"""The connections of a build: to its host, from there to the mirror, to the engine."""

Disk = Literal["work", "engine", "dist"]


@dataclass(frozen=True)
class Moment:
    """When: so many seconds after the n-th event of that name.

    ``shipped`` is the event that says that the last byte has been read from the host.
    """

    event: str
    nth: int
    delay: float

    def __str__(self) -> str:
        return f"{self.delay:.2f} s after {self.event} {self.nth}"


@dataclass(frozen=True)
class Broken:
    """A connection breaks once so many bytes have gone one way.

    seconds, then: how long a stall lasts, and what ends it; None for as long as the run does.
    rate: bytes a second that a narrow link carries.
    """

    way: Way
    how: Literal["cut", "stall", "throttle"]
    size: int
    direction: Direction
    seconds: float | None = None
    then: Then = "cut"
    rate: int = 0

    def __str__(self) -> str:
        how: str = self.how
        if how == "stall":
            how += f" of {self.seconds} s, then {self.then}," if self.seconds else " without end"
        if how == "throttle":
            how += f" to {self.rate} bytes a second"
        return f"{self.way} {how} after {self.size} bytes {self.direction}"


@dataclass(frozen=True)
class Signalled:
    """The controller gets a signal; group: with its process group, as from a terminal."""

    signal: str
    moment: Moment
    group: bool = False
    times: int = 1

    def __str__(self) -> str:
        whom = "its process group" if self.group else "the controller"
        return f"{self.signal} x{self.times} to {whom} {self.moment}"


@dataclass(frozen=True)
class Full:
    """A disk has so many KiB left from then on."""

    disk: Disk
    room: int
    moment: Moment

    def __str__(self) -> str:
        return f"the disk of {self.disk} has {self.room} KiB left {self.moment}"


@dataclass(frozen=True)
class Death:
    """The engine gets a signal, and is started again so many seconds later."""

    signal: str
    moment: Moment
    down: float

    def __str__(self) -> str:
        return f"{self.signal} to the engine {self.moment}, started again {self.down:.2f} s later"


@dataclass(frozen=True)
class Lie:
    """The mirror's answers for these paths are wrong; stalls are cut after a second."""

    files: str
    kind: http_server.Kind
    after: int

    def __str__(self) -> str:
        return f"the mirror's {self.files} are {self.kind}, after {self.after} bytes"


Strike = Broken | Signalled | Full | Death | Lie


@dataclass(frozen=True)
class Fault:
    """One fault, and the build that it strikes.

    far: the host is reached over SSH.
    """

    seed: int
    index: int
    kind: str
    task: Task
    far: bool
    sink: Sink
    strike: Strike

    def __str__(self) -> str:
        host = "over SSH" if self.far else "here"
        return (
            f"seed {self.seed} fault {self.index}: {self.task} {host} to {self.sink}: {self.strike}"
        )


_STREAM = 45_000_000
"""About the bytes of a layer of the tiny Debian."""


def _bytes(dice: random.Random, largest: int) -> int:
    """Return a byte of a connection: often one of the first, where most is decided."""
    if dice.random() < 0.4:
        return dice.randint(1, largest)
    return int(math.exp(dice.uniform(math.log(20), math.log(largest))))


def _anywhere(dice: random.Random, task: Task) -> Moment:
    """Return a moment of a build; those in which most happens are the likeliest."""
    events: list[tuple[str, int, float, int]] = [  # name, largest n, longest delay, weight
        ("run_started", 1, 1.0, 3),
        ("play_started", 1, 0.3, 1),
        ("module_done", 13, 0.05, 1),
        ("play_done", 1, 0.05, 1),
        ("run_done", 1, 0.1, 1),
    ]
    if task != "again":
        events += [
            ("module_started", 2, 0.1, 3),
            ("shipping", 1, 0.2, 3),
            ("shipped_bytes", 4, 0.1, 3),
            ("shipped", 1, 0.6, 6),
            ("image_done", 1, 0.05, 1),
        ]
    if task in ("anew", "first"):
        events += [("module_started", 1, 4.0, 6), ("output", 60, 0.1, 6)]
    event, most, delay, _ = dice.choices(events, [event[3] for event in events])[0]
    return Moment(event, dice.randint(1, most), round(dice.uniform(0, delay), 2))


def _while_shipping(dice: random.Random) -> Moment:
    event, most, delay = dice.choice(
        [("shipping", 1, 0.3), ("shipped_bytes", 4, 0.1), ("shipped", 1, 0.6)]
    )
    return Moment(event, dice.randint(1, most), round(dice.uniform(0, delay), 2))


def _task(dice: random.Random) -> Task:
    tasks: tuple[Task, ...] = ("again", "change", "fresh", "anew", "first")
    return dice.choices(tasks, (30, 120, 15, 10, 5))[0]


def _making(dice: random.Random) -> Task:
    """Return a task that needs the mirror."""
    tasks: tuple[Task, ...] = ("fresh", "anew", "first")
    return dice.choices(tasks, (1, 10, 2))[0]


def _sink(dice: random.Random) -> Sink:
    sinks: tuple[Sink, ...] = ("docker", "archive")
    return dice.choices(sinks, (3, 1))[0]


def _fault(dice: random.Random, strike: Strike, task: Task) -> Fault:
    """Return a fault of which nothing else is known yet."""
    return Fault(0, 0, "", task, dice.random() < 0.5, _sink(dice), strike)


def _signalled(name: str, times: int = 1) -> Callable[[random.Random], Fault]:
    def throw(dice: random.Random) -> Fault:
        task = _task(dice)
        group = name == "SIGINT" and dice.random() < 0.5
        return _fault(dice, Signalled(name, _anywhere(dice, task), group, times), task)

    return throw


def _broken(
    way: Way, how: Literal["cut", "stall", "throttle"], then: Then = "cut"
) -> Callable[[random.Random], Fault]:
    """Return what throws a fault of a connection."""

    def throw(dice: random.Random) -> Fault:
        task = _making(dice) if way == "mirror" else _task(dice)
        fault = _fault(dice, _break(dice, way, how, then), task)
        match way:
            case "ssh":
                return replace(fault, far=True)
            case "engine":
                return replace(fault, sink="docker")
        return fault

    return throw


def _break(
    dice: random.Random, way: Way, how: Literal["cut", "stall", "throttle"], then: Then
) -> Broken:
    # What a build sends in each direction.
    most: Mapping[Way, Mapping[Direction, int]] = {
        "ssh": {"up": 60_000, "down": _STREAM},
        "mirror": {"up": 3_000, "down": _STREAM // 3},
        "engine": {"up": _STREAM, "down": 20_000},
    }
    directions: tuple[Direction, ...] = ("up", "down")
    direction = dice.choice(directions)
    size = _bytes(dice, most[way][direction])
    if how == "throttle":
        # Slow enough to be felt, and not to wait for.
        rate = dice.choice((30_000, 100_000) if most[way][direction] < 100_000 else (40_000_000,))
        return Broken(way, how, size, direction, rate=rate)
    if how == "stall":
        # One that nothing ends is noticed within 40 seconds; only SSH is without other limits.
        endless = way == "ssh" and then == "cut" and dice.random() < 0.02
        seconds = None if endless else round(dice.uniform(0.1, 0.8), 1)
        return Broken(way, how, size, direction, seconds, then)
    return Broken(way, how, size, direction)


def _full(disk: Disk) -> Callable[[random.Random], Fault]:
    def throw(dice: random.Random) -> Fault:
        task: Task = "change"
        if disk == "work":
            task = dice.choice((_making(dice), task))
            moment = _anywhere(dice, task)
        else:
            moment = dice.choice((Moment("run_started", 1, 0), _while_shipping(dice)))
        room = dice.choice((0, _bytes(dice, _STREAM // 1024)))
        fault = _fault(dice, Full(disk, room, moment), task)
        sinks: Mapping[Disk, Sink] = {"engine": "docker", "dist": "archive"}
        return replace(fault, sink=sinks.get(disk, fault.sink))

    return throw


def _death(dice: random.Random) -> Fault:
    task: Task = dice.choices(("again", "change"), (1, 4))[0]
    moment = _anywhere(dice, task) if task == "again" else _while_shipping(dice)
    down = round(dice.choice((0, dice.uniform(0, 2))), 2)
    strike = Death(dice.choice(("SIGKILL", "SIGKILL", "SIGTERM")), moment, down)
    return replace(_fault(dice, strike, task), sink="docker")


_FILES = (
    "*/InRelease",
    "*/bookworm/InRelease",
    "*/Packages*",
    "*/dash_*",
    "*/libc6_*",
    "*/tzdata_*",
)


def _lie(dice: random.Random) -> Fault:
    kinds: tuple[http_server.Kind, ...] = ("corrupt", "missing", "cut", "stall")
    strike = Lie(dice.choice(_FILES), dice.choice(kinds), _bytes(dice, 100_000))
    return _fault(dice, strike, _making(dice))


KINDS: Mapping[str, tuple[int, Callable[[random.Random], Fault]]] = {
    "ssh cut": (3, _broken("ssh", "cut")),
    "ssh stall, then cut": (1, _broken("ssh", "stall")),
    "ssh hiccup": (1, _broken("ssh", "stall", "resume")),
    "ssh throttled": (1, _broken("ssh", "throttle")),
    "mirror cut": (1, _broken("mirror", "cut")),
    "mirror hiccup": (1, _broken("mirror", "stall", "resume")),
    "mirror lies": (3, _lie),
    "engine cut": (3, _broken("engine", "cut")),
    "engine stall, then cut": (1, _broken("engine", "stall")),
    "engine hiccup": (1, _broken("engine", "stall", "resume")),
    "engine throttled": (1, _broken("engine", "throttle")),
    "killed": (5, _signalled("SIGKILL")),
    "interrupted": (2, _signalled("SIGINT")),
    "interrupted twice": (1, _signalled("SIGINT", 2)),
    "terminated": (2, _signalled("SIGTERM")),
    "hung up": (2, _signalled("SIGHUP")),
    "work disk full": (2, _full("work")),
    "engine disk full": (1, _full("engine")),
    "dist disk full": (1, _full("dist")),
    "engine dies": (3, _death),
}
"""How often a round has each kind, and what throws the rest."""

ROUND = sum(times for times, _ in KINDS.values())


def fault(seed: int, index: int) -> Fault:
    """Return one fault of a seed's schedule."""
    number, position = divmod(index, ROUND)
    # Each kind once before any comes twice.
    later = [kind for kind, (times, _) in KINDS.items() for _ in range(times - 1)]
    dealer = random.Random(f"{seed}:round {number}")
    kinds = dealer.sample(list(KINDS), len(KINDS)) + dealer.sample(later, len(later))
    kind = kinds[position]
    thrown = KINDS[kind][1](random.Random(f"{seed}:{index}"))
    return replace(thrown, seed=seed, index=index, kind=kind)
