"""Plays of modules made on the spot, in roots that a line of sh makes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from rootwright.inventory import HostSpec
from rootwright.module import Module
from rootwright.playbook import Playbook, Recipe
from rootwright.report import EventLog, HostReport, Reporters
from rootwright.resource import Bootstrap, Resource
from rootwright.run import RunOptions, run
from tests.support.books import waiting_book
from tests.support.program import REPOSITORY, Running


@dataclass(frozen=True, kw_only=True)
class Bundle(Module):
    """Resources."""

    items: tuple[Resource, ...]

    def resources(self) -> Iterable[Resource]:
        return self.items


def module(title: str, *resources: Resource) -> Module:
    """Return a module of that name with these resources."""
    named = cast("type[Bundle]", type(title.title().replace(" ", ""), (Bundle,), {}))
    return named(items=resources)


def tree(stamp: str = "one\n", script: str = "") -> Module:
    """Return the module that makes a root with a few folders."""
    script = f'mkdir -p "$rw_root/etc" "$rw_root/usr/bin"\n{script}'
    return module("tree", Bootstrap("tree", script, stamp=stamp))


def play(
    host: HostSpec,
    work_dir: str,
    *modules: Module,
    before: Sequence[Module] = (),
    events: Path | None = None,
    check: bool = False,
    fresh: bool = False,
) -> HostReport:
    """Play modules in a root on a host; return what became of it.

    before: modules for the host itself.
    """

    def recipe(facts: Mapping[str, str]) -> Recipe:
        assert facts["os"]
        return Recipe(host=before, root=modules)

    book = Playbook("book", "", "", {}, (), {}, recipe)
    options = RunOptions(ask=lambda _: "", work_dir=work_dir, check=check, fresh=fresh)
    with Reporters([EventLog(events)] if events else []) as reporter:
        report = run(book, [(host, {})], options, reporter)
    (one,) = report.hosts
    return one


def states(report: HostReport) -> dict[str, str]:
    return {module.name: module.state for module in report.modules}


def root(work_dir: str) -> Path:
    return Path(work_dir, "book/tree/rootfs")


def begin(folder: Path, work_dir: str, *more: str) -> Running:
    """Start the program on the waiting book."""
    argv = [*waiting_book(folder), "--work-dir", work_dir, "--json", *more]
    env = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return Running(argv, folder, env, folder)
