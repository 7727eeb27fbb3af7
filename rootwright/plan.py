"""From what was observed and what is wanted to what would change: pure, no host in sight.

A play's resources stand in one list, in playing order. Everything here speaks of them by their
index in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rootwright.errors import StepError
from rootwright.module import Module
from rootwright.playbook import Recipe
from rootwright.resource import Bootstrap, Change, Resource, State
from rootwright.resource.base import overlap


@dataclass(frozen=True)
class Item:
    """One resource of a play.

    scope: ``host`` (the host's own ``/``) or ``root`` (the image's).
    """

    index: int
    scope: str
    resource: Resource


@dataclass(frozen=True)
class Step:
    """One module of a play, with its resources."""

    module: Module
    scope: str
    items: tuple[Item, ...]

    @property
    def name(self) -> str:
        """The module's name."""
        return self.module.name


@dataclass(frozen=True)
class Finding:
    """What the plan says of one resource.

    change: what differs, None where nothing does.
    after: the module whose change comes first and may decide otherwise; empty when there is none.
    """

    item: Item
    change: Change | None
    after: str = ""


def steps(recipe: Recipe) -> list[Step]:
    """Return a recipe's modules, the host's first, with their resources numbered.

    Raises UsageError for a module that refuses the kind of root it is given, or holds a value that
    no host can be told.
    """
    result: list[Step] = []
    index = 0
    for scope, modules in (("host", recipe.host), ("root", recipe.root)):
        for module in modules:
            reason = module.on_host if scope == "host" else module.on_image
            if reason:
                place = "a host's own /" if scope == "host" else "an image's root"
                raise module.refuse(f"{module.name} is not for {place}: {reason}")
            items = []
            for resource in module.resources():
                # For its errors: not half-way through a play.
                resource.probe()
                resource.converge()
                items.append(Item(index, scope, resource))
                index += 1
            result.append(Step(module, scope, tuple(items)))
    return result


def all_items(steps: Iterable[Step]) -> list[Item]:
    """Return the resources of all steps."""
    return [item for step in steps for item in step.items]


def stale_after(written: Iterable[Item], later: Iterable[Item]) -> list[Item]:
    """Return those later resources that may be other than was seen, once these are written."""
    done = list(written)
    return [
        item
        for item in later
        if any(
            other.scope == item.scope and overlap(other.resource.writes, item.resource.reads)
            for other in done
        )
    ]


def predict(
    steps: Sequence[Step], states: Mapping[int, State], *, fresh: bool = False
) -> list[list[Finding]]:
    """Return, for each step, what would change, or might after an earlier change.

    fresh: the root is to be made anew, whatever is there.
    Raises StepError where something stands in the way that no earlier change may remove.
    """
    pending: list[tuple[Item, str]] = []
    anew = False
    result = []
    for step in steps:
        findings = []
        for item in step.items:
            first = next((name for other, name in pending if stale_after([other], [item])), "")
            # What a root that is about to go says of itself decides nothing.
            gone = item.scope == "root" and (anew or is_fresh(item, fresh))
            state = State() if gone else states.get(item.index, State())
            change = None
            try:
                change = item.resource.compare(state)
            except StepError:
                if not first:  # an earlier change may take away what stands in the way
                    raise
            if change or first:
                findings.append(Finding(item, change, first if first != step.name else ""))
                pending.append((item, step.name))
                anew = anew or isinstance(item.resource, Bootstrap)
        result.append(findings)
    return result


def is_fresh(item: Item, fresh: bool) -> bool:
    """Tell whether a resource counts as absent because the root was asked to be made anew."""
    return fresh and isinstance(item.resource, Bootstrap)


def due(
    step: Step, states: Mapping[int, State], *, fresh: bool = False
) -> tuple[list[Item], dict[int, Change]]:
    """Return which of a step's resources to converge, and what is known to differ.

    Besides those that differ, these are the ones that an earlier of them may invalidate; they are
    looked at again before they are touched.
    Raises StepError where something stands in the way that no change may remove.
    """
    todo: list[Item] = []
    changes: dict[int, Change] = {}
    for item in step.items:
        state = State() if is_fresh(item, fresh) else states.get(item.index, State())
        if stale_after(todo, [item]):
            todo.append(item)
        elif change := item.resource.compare(state):
            todo.append(item)
            changes[item.index] = change
    return todo, changes
