"""The tasks around the builds: what there is, what a host offers, and cleaning up."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from rootwright import playbook as playbooks
from rootwright.cli.build import work_dir as checked_work_dir
from rootwright.cli.catalog import catalog
from rootwright.cli.edge import edge
from rootwright.errors import RootwrightError, UsageError
from rootwright.inventory import HostSpec, Inventory
from rootwright.report.data import json_text
from rootwright.secret import held_password
from rootwright.text import harmless

_HOST_HELP = {
    "host": "a host or group of the inventory; may be repeated (default: localhost)",
    "inventory": "the inventory's file (default: inventory/hosts.toml)",
    "work_dir": "the folder on the host below which roots lie (default: /var/lib/rootwright)",
    "accept_new_host_key": "remember the key of a host seen for the first time",
}


@task(name="playbooks", auto_shortflags=False)
def list_playbooks(_context: Context) -> None:
    """List the playbooks and their options."""
    for book in playbooks.REGISTRY.values():
        print(f"{book.name}: {book.summary}")
        for option in book.options.values():
            print(f"    --{option.name.replace('_', '-')}: {option.help}")


@task(name="modules", positional=[], help={"name": "the module"}, auto_shortflags=False)
def list_modules(_context: Context, name: str = "") -> None:
    """List the modules, or print the manual of one."""
    with edge():
        from rootwright import modules
        from rootwright.module import REGISTRY, manual

        modules.load_all()
        if not name:
            for cls in sorted(REGISTRY.values(), key=lambda cls: cls.name):
                print(f"{cls.name:16} {(cls.__doc__ or '').strip().splitlines()[0]}")
        elif name in REGISTRY:
            print(manual(REGISTRY[name]))
        else:
            known = ", ".join(sorted(REGISTRY))
            raise UsageError(f"there is no module {name!r}", hint=f"known are {known}")


@task(name="hosts", help={"inventory": _HOST_HELP["inventory"]}, auto_shortflags=False)
def list_hosts(_context: Context, inventory: str = "") -> None:
    """List the hosts and groups one may build on."""
    with edge(), held_password():
        known = Inventory.load(Path(inventory) if inventory else None)
        for spec in known.hosts.values():
            if spec.name in known.refused:
                address = f"one cannot build there: {known.refused[spec.name].what}"
            else:
                address = _address(spec)
            variables = [f"{_word(k)}={_word(v)}" for k, v in known.variables(spec).items()]
            print(f"{_word(spec.name):16} {'  '.join([address, ' '.join(variables)])}".rstrip())
        for group in known.groups.values():
            print(f"{_word(group.name):16} group of {', '.join(map(_word, group.hosts))}".rstrip())


def _word(value: object) -> str:
    """Return a text as it is where it is one plain word, anything else as JSON."""
    plain = isinstance(value, str) and re.fullmatch(r"[^\s\"'\\]+", value) and value.isprintable()
    return str(value) if plain else json_text(value)


def _address(spec: HostSpec) -> str:
    if spec.local:
        return "this machine"
    user = f"{spec.user}@" if spec.user else ""
    port = f":{spec.port}" if spec.port else ""
    return f"{user}{spec.address or spec.name}{port}"


@task(name="doctor", iterable=["host"], help=_HOST_HELP, auto_shortflags=False)
def diagnose(
    _context: Context,
    host: Sequence[str] | None = None,
    inventory: str = "",
    work_dir: str = "",
    accept_new_host_key: bool = False,
) -> None:
    """Say what hosts offer and lack for each playbook, and how to mend each lack."""
    with edge(), held_password() as password:
        from rootwright.cli.doctor import examine

        known = Inventory.load(Path(inventory) if inventory else None)
        failed = [
            error
            for spec in known.select(host or ())
            if (
                error := examine(
                    spec, checked_work_dir(work_dir), password, accept_new=accept_new_host_key
                )
            )
        ]
        if failed:
            raise max(failed, key=lambda error: error.exit_code)


@task(name="clean", iterable=["host"], help=_HOST_HELP, auto_shortflags=False)
def clean(
    _context: Context,
    host: Sequence[str] | None = None,
    inventory: str = "",
    work_dir: str = "",
    accept_new_host_key: bool = False,
) -> None:
    """Remove the roots we made on hosts and the archives we made in dist/."""
    with edge(), held_password() as password:
        from rootwright.cli.clean import clean_dist, clean_host

        known = Inventory.load(Path(inventory) if inventory else None)
        errors: list[RootwrightError] = []

        def show(begin: str, removals: Iterable[object]) -> None:
            try:
                for removed in removals:
                    print(harmless(f"{begin}removed {removed}"))
            except RootwrightError as e:
                print("\n".join(map(harmless, e.lines())), file=sys.stderr)
                errors.append(e)

        for spec in known.select(host or ()):
            base, new = checked_work_dir(work_dir), accept_new_host_key
            show(f"{spec.name}: ", clean_host(spec, base, password, accept_new=new))
        show("", clean_dist(Path("dist")))
        if errors:
            raise Exit(code=max(error.exit_code for error in errors))


TASKS = {
    "playbooks": list_playbooks,
    "modules": list_modules,
    "hosts": list_hosts,
    "doctor": diagnose,
    "clean": clean,
    "catalog": catalog,
}
"""The tasks by the names of the command line."""
