"""The task of a playbook: its options from the signature, then a run and its report."""

from __future__ import annotations

import contextlib
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import Task

from rootwright.cli.edge import edge
from rootwright.errors import UsageError
from rootwright.inventory import HostSpec, Inventory
from rootwright.playbook import REGISTRY, Option, Playbook
from rootwright.secret import held_password

COMMON_LISTS = {
    "host": "a host or group of the inventory; may be repeated (default: localhost)",
    "tag": "the image's name in Docker; may be repeated, and hold {host} and {arch} (default: "
    "rootwright/PLAYBOOK:latest; of several hosts rootwright/PLAYBOOK:HOST)",
}
COMMON_TEXTS = {
    "inventory": "the inventory's file (default: inventory/hosts.toml)",
    "to": "where the image goes: docker, docker://SOCKET or FILE.tar (default: docker, and the "
    "archive dist/PLAYBOOK.tar, of several hosts dist/PLAYBOOK-HOST.tar, when no engine answers)",
    "work_dir": "the folder on the host below which roots lie (default: /var/lib/rootwright)",
    "parallel": "how many hosts are worked on at the same time (default: 10)",
    "events": "write each event, as it happens, to this file as a line of JSON",
}
COMMON_FLAGS = {
    "check": "say what would change and change nothing",
    "diff": "show the difference of every change",
    "fresh": "make the root anew, whatever is there",
    "json": "print one report as JSON on standard output",
    "verbose": "print all that the steps print",
    "accept_new_host_key": "remember the key of a host seen for the first time",
}


OF_IMAGES = ("tag", "to", "fresh")
"""Those that mean nothing to a playbook that makes no image."""


def build_task(playbook: Playbook) -> Task[Callable[..., None]]:
    """Return the invoke task that plays a playbook."""
    helps = {
        name: text.replace("PLAYBOOK", playbook.name)
        for name, text in (COMMON_LISTS | COMMON_TEXTS | COMMON_FLAGS).items()
        if playbook.ships or name not in OF_IMAGES
    }
    lists = [name for name in COMMON_LISTS if name in helps]
    lists += [o.name for o in playbook.options.values() if o.kind == "list"]
    clash = sorted(set(playbook.options) & set(helps))
    if clash:
        raise UsageError(
            f"the option {clash[0]!r} of playbook {playbook.name} is one every playbook has",
            where=f"playbook {playbook.name}",
            hint="give it another name",
        )
    helps |= {name: _help(option) for name, option in playbook.options.items()}
    parameters = [inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    for name in helps:
        default = False if name in COMMON_FLAGS else None
        kind = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter(name, kind, default=default))

    def body(_context: Context, **given: object) -> None:
        with edge(), held_password() as password:
            build(playbook, given, password)

    body.__doc__ = playbook.manual
    body.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return Task(
        body,
        iterable=lists,
        # A switch may be given a value, so that the command line can undo the inventory.
        optional=[o.name for o in playbook.options.values() if o.kind == "bool"],
        help=helps,
        auto_shortflags=False,
    )


def _help(option: Option) -> str:
    default = option.default
    if isinstance(default, (tuple, list)):
        shown = ",".join(default) or "none"
    elif isinstance(default, bool):
        shown = "yes" if default else "no"
    else:
        shown = str(default)
    choices = f"; one of {', '.join(option.choices)}" if option.choices else ""
    commas = "; with commas, or repeated" if option.kind == "list" else ""
    # What it comes to when it is not given, the playbook says itself.
    return f"{option.help}{choices}{commas}" + (
        f" (default: {shown})" if default is not None else ""
    )


def build(playbook: Playbook, given: Mapping[str, object], password: str) -> None:
    """Play a playbook as the command line says, and report.

    given: the values of the command line by parameter name; None, False and an empty list mean
    that an option was not given. password: sudo's, where the environment says it.
    Raises RootwrightError for what is wrong before any play starts; Exit afterwards.
    """
    # Everything below costs time to import that --list and --help need not pay.
    from rootwright.cli.sample import preparing
    from rootwright.hosts import prompt_for
    from rootwright.report import Console, EventLog, Masker, Reporters
    from rootwright.run import DEFAULT_WORK_DIR, PARALLEL, RunOptions, run
    from rootwright.ship import Shipping

    inventory = Inventory.load(_path(given["inventory"]))
    plays = [
        (spec, settings(playbook, inventory, spec, given))
        for spec in inventory.select(_texts(given["host"]))
    ]
    shipping = Shipping(
        playbook.name,
        [spec.name for spec, _ in plays],
        to=str(given["to"]) if given.get("to") else None,
        tags=_texts(given.get("tag")),
    )
    shipping.check()
    masker = Masker([password])
    console = Console(
        sys.stderr,
        diff=bool(given["diff"]),
        check=bool(given["check"]),
        verbose=bool(given["verbose"]),
        masker=masker,
    )
    events = EventLog(str(given["events"]), masker) if given["events"] else None
    reporters = [console, *([events] if events else [])]

    def ask(host: str) -> str:
        with console.paused():
            answer = prompt_for(password)(host)
        masker.add(answer)
        return answer

    with Reporters(reporters) as reporter, contextlib.ExitStack() as stack:
        options = RunOptions(
            ask=ask,
            work_dir=work_dir(given["work_dir"]) or DEFAULT_WORK_DIR,
            check=bool(given["check"]),
            fresh=bool(given.get("fresh")),
            accept_new=bool(given["accept_new_host_key"]),
            shipping=shipping,
            parallel=parallel(given["parallel"]) or PARALLEL,
            prepare=stack.enter_context(
                preparing([given for _, given in plays], lambda text: reporter.note("", text))
            ),
        )
        report = run(playbook, plays, options, reporter)
    if events and events.problem:
        print(events.problem, file=sys.stderr)
    if given["json"]:
        print(report.to_json(masker))
    if report.exit_code:
        raise Exit(code=report.exit_code)


def settings(
    playbook: Playbook, inventory: Inventory, spec: HostSpec, given: Mapping[str, object]
) -> dict[str, object]:
    """Return a playbook's options for one host: its defaults, the inventory, the command line.

    Raises UsageError for a variable of the wrong type, or one that is no option of any playbook
    in an inventory that was written for us.
    """
    where = str(inventory.source or "the inventory")
    for name in () if inventory.foreign else inventory.variables(spec):
        if not any(name in other.options for other in REGISTRY.values()):
            raise playbook.unknown(name, f"{where}, variables of {spec.name}")
    line = {
        name: value
        for name, value in given.items()
        if name in playbook.options and value is not None and value != []
    }
    # What the command line says need not be asked of the inventory, which may not know it.
    mine = inventory.options(spec, playbook.options.keys() - line.keys())
    return playbook.settings([(where, mine), ("the command line", line)])


def work_dir(given: object) -> str:
    """Return the work dir, checked: it becomes part of commands that remove folders.

    Raises UsageError unless it is absolute and more than one level deep.
    """
    if not given:
        return ""
    path = str(given).rstrip("/")
    parts = path.split("/")
    if (
        not path.startswith("/")
        or ".." in parts
        or "\n" in path
        or len(list(filter(None, parts))) < 2
    ):
        raise UsageError(
            f"{str(given)!r} cannot be a work dir",
            where="--work-dir",
            hint="give an absolute path below a folder, such as /var/lib/rootwright",
        )
    return path


def parallel(given: object) -> int:
    """Return how many plays work at the same time, 0 unless it was given.

    Raises UsageError for what is no such number.
    """
    if given is None:
        return 0
    if not re.fullmatch("0*[1-9][0-9]{0,5}", str(given), re.ASCII):
        hint = "give how many hosts, such as 10"
        raise UsageError(f"{str(given)!r} is no number of hosts", where="--parallel", hint=hint)
    return int(str(given))


def _path(value: object) -> Path | None:
    return Path(str(value)) if value else None


def _texts(value: object) -> Sequence[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
