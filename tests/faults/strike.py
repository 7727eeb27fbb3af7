"""One fault thrown at one build, and everything that is wrong afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch

from tests.faults.ground import Ground
from tests.faults.schedule import Broken, Death, Fault, Full, Lie, Moment, Signalled, Strike
from tests.faults.site import Site
from tests.support.leftovers import SECONDS
from tests.support.program import Ended, Running

_PATIENCE = 90.0
"""Seconds in which a build must have ended, whatever struck it."""

_LIE_SECONDS = 1.0
"""How long an answer of the mirror stalls."""

_INTERRUPTED = 130
_UNWANTED = ("Traceback", "Exception ignored", "Exception in thread", "Fatal Python error")


@dataclass(frozen=True)
class Outcome:
    """What came of a fault.

    struck: whether it came to pass before the build was over. code: how the build ended.
    wrong: what must not be, nothing in the best case.
    """

    struck: bool
    code: int
    wrong: list[str]


def throw(ground: Ground, fault: Fault) -> Outcome:
    """Throw a fault at a build, look at what is left, and have the next run complete."""
    site = ground.sites[fault.sink]
    wanted = site.prepare(fault.task)
    try:
        struck, ended = _build(ground, site, fault, wanted)
    finally:
        ground.mend()
    wrong = [f"the build: {one}" for one in _wrong(site, fault, struck, ended, wanted)]
    wrong += [f"left: {one}" for one in nothing_left(ground, site)]
    # Once more: whoever was still at work has had the time to move it.
    wrong += [f"afterwards: {one}" for one in misnamed(site, wanted)]
    following = _end(ground.start(site, wanted, far=fault.far))
    left = nothing_left(ground, site)
    wrong += [f"the next run: {one}" for one in _incomplete(site, following, wanted)]
    wrong += [f"left by the next run: {one}" for one in left]
    if wrong:
        wrong += [f"the build said:\n{ended.stderr}", f"the next run said:\n{following.stderr}"]
    site.variant = wanted
    return Outcome(struck, ended.code, wrong)


def _build(ground: Ground, site: Site, fault: Fault, wanted: str) -> tuple[bool, Ended]:
    """Run the build that is to be struck; return whether it was, and how it ended."""
    strike = fault.strike
    has_struck = _arm(ground, strike)
    running = ground.start(
        site,
        wanted,
        *(["--fresh"] if fault.task in ("fresh", "anew") else []),
        far=fault.far,
        engine_proxy=isinstance(strike, Broken) and strike.way == "engine",
    )
    struck = False
    try:
        if isinstance(strike, Signalled | Full | Death) and _comes(running, strike.moment):
            struck = running.process.poll() is None
            _act(ground, running, strike)
    finally:
        ended = _end(running)
    return struck or has_struck(), ended


def _end(running: Running) -> Ended:
    """Wait for the end of a run; make one that hangs say where."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        running.process.wait(_PATIENCE)
    running.process.send_signal(signal.SIGABRT)  # faulthandler prints every thread's stack
    return running.end()


def _arm(ground: Ground, strike: Strike) -> Callable[[], bool]:
    """Prepare what happens by itself; return what tells whether it has."""
    match strike:
        case Broken(way, how, size, direction):
            proxy = ground.ways[way]
            before = getattr(proxy.counts(), direction)
            match how:
                case "cut":
                    proxy.cut_after(size, direction)
                case "stall":
                    proxy.stall_after(size, direction, strike.seconds, strike.then)
                case "throttle":
                    proxy.throttle_after(size, strike.rate, direction)
            return lambda: bool(getattr(proxy.counts(), direction) - before >= size)
        case Lie(files, kind, after):
            server = ground.archive.server
            server.fail(files, kind, after=after, seconds=_LIE_SECONDS)
            asked = len(server.requests)
            return lambda: any(fnmatch(path, files) for path in server.requests[asked:])
    return lambda: False


def _comes(running: Running, moment: Moment) -> bool:
    """Wait for a moment of a run; return whether it came."""
    total, seen = -1, 0
    for told in running.events():
        name = told["event"]
        if name == "shipping":
            total = told["total"]
        if name == "shipped_bytes" and told["sent"] == total and moment.event == "shipped":
            name = "shipped"
        seen += name == moment.event
        if seen == moment.nth:
            time.sleep(moment.delay)
            return True
    return False


def _act(ground: Ground, running: Running, strike: Signalled | Full | Death) -> None:
    match strike:
        case Signalled(name, _, group, times):
            for number in range(times):
                time.sleep(0.2 * number)
                with contextlib.suppress(ProcessLookupError):
                    (os.killpg if group else os.kill)(running.process.pid, signal.Signals[name])
        case Full(disk, room):
            ground.fill(disk, room)
        case Death(name, _, down):
            (ground.engine.kill if name == "SIGKILL" else ground.engine.stop)()
            time.sleep(down)
            ground.excuse_engine()
            ground.engine.start()


def _codes(strike: Strike, struck: bool) -> tuple[int, ...]:
    """Return the exit codes that a build may have."""
    match strike:
        case _ if not struck:
            return (0,)
        case Broken(how="throttle") | Broken(how="stall", then="resume"):
            return (0,)
        case Signalled("SIGKILL"):
            return (0, -signal.SIGKILL)
        case Signalled():
            return (0, _INTERRUPTED)
    return (0, 1, 3, 4)


def _wrong(site: Site, fault: Fault, struck: bool, ended: Ended, wanted: str) -> Iterator[str]:
    """Yield what is wrong with how a build ended and what it made."""
    codes = _codes(fault.strike, struck)
    if ended.code not in codes:
        yield f"its exit code is {ended.code}, not one of {codes}"
    yield from (f"it said {word!r}" for word in _UNWANTED if word in ended.stderr)
    if ended.code > 0 and ended.code != _INTERRUPTED and "hint:" not in ended.stderr:
        yield "it gave no hint"
    if ended.stdout or ended.code not in (_INTERRUPTED, -signal.SIGKILL):
        try:
            json.loads(ended.stdout)
        except ValueError:
            yield f"its report is none: {ended.stdout[-200:]!r}"
    yield from misnamed(site, wanted)
    if ended.code == 0 and site.held() != site.expected[wanted]:
        yield "it said that all is well, and the name was not moved"
    hard_on_engine = site.sink == "docker" and isinstance(fault.strike, Death | Full)
    if hard_on_engine and not site.layer_is_whole():
        yield "the engine cannot give back the image's layer"


def misnamed(site: Site, wanted: str) -> Iterator[str]:
    """Yield what the name stands for where it is neither what it was before nor what is wanted."""
    held = site.held()
    if held not in (site.expected[site.variant], site.expected[wanted]):
        yield f"the name stands for {held or 'nothing'}"


def _incomplete(site: Site, ended: Ended, wanted: str) -> Iterator[str]:
    """Yield what is wrong with a run that nothing kept from completing."""
    if ended.code != 0:
        yield f"its exit code is {ended.code}"
    elif (found := ended.host["image"]["id"]) != site.ids[wanted]:
        yield f"it made {found}, not {site.ids[wanted]}"
    yield from (f"it said {word!r}" for word in _UNWANTED if word in ended.stderr)
    if site.held() != site.expected[wanted]:
        yield f"the name stands for {site.held() or 'nothing'}"


def nothing_left(ground: Ground, site: Site) -> list[str]:
    """Return what is still left of builds after five seconds."""
    end = time.monotonic() + SECONDS
    while left := [
        *site.place.left(ground.strangers()),
        *site.stray(),
        *site.files_left(),
        *ground.files_left(),
    ]:
        if time.monotonic() > end:
            return left
        time.sleep(0.05)
    return []
