"""The plan in a simulated world: nothing is missed, nothing is done twice, no guess is an ok."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootwright.errors import StepError, UsageError
from rootwright.module import REGISTRY, Module
from rootwright.plan import (
    Item,
    Step,
    all_items,
    due,
    predict,
    stale_after,
    steps,
)
from rootwright.playbook import Recipe
from rootwright.resource import (
    Absent,
    Bootstrap,
    Change,
    Directory,
    File,
    Line,
    Resource,
    State,
)

# --- a world: paths that hold words


@dataclass(frozen=True)
class Put(Resource):
    """Paths that hold a word, seen through the first of them.

    What a package manager does to files it never looks at again, in small.
    """

    paths: tuple[str, ...]
    word: str

    @property
    def label(self) -> str:
        return f"put {self.paths[0]}"

    @property
    def reads(self) -> tuple[str, ...]:
        return self.paths[:1]

    @property
    def writes(self) -> tuple[str, ...]:
        return self.paths

    def probe(self) -> str:
        return ""

    def converge(self) -> str:
        return ""

    def compare(self, state: State) -> Change | None:
        return None if state.fields.get("word") == self.word else Change(f"put {self.word}")


World = dict[str, str]


def look(world: Mapping[str, str], items: Iterable[Item]) -> dict[int, State]:
    """Return what the probes of `Put` would say."""
    states = {}
    for item in items:
        assert isinstance(item.resource, Put)
        word = world.get(item.resource.paths[0])
        states[item.index] = State({"word": word} if word else {})
    return states


def play(world: World, plan: list[Step]) -> list[int]:
    """Play as the engine does; return which resources changed something, in order."""
    changed = []
    states = look(world, all_items(plan))
    for position, step in enumerate(plan):
        todo, known = due(step, states)
        for item in todo:
            before = item.resource.compare(look(world, [item])[item.index])
            # What is known to differ is never found in order when its turn comes.
            assert before or item.index not in known
            if before:
                assert isinstance(item.resource, Put)
                world |= dict.fromkeys(item.resource.paths, item.resource.word)
                changed.append(item.index)
            states |= look(world, [item])
        states |= look(world, stale_after(todo, all_items(plan[position + 1 :])))
    return changed


@dataclass(frozen=True, kw_only=True)
class Bundle(Module):
    """Resources."""

    items: tuple[Resource, ...] = ()

    def resources(self) -> Iterable[Resource]:
        return self.items


@dataclass(frozen=True, kw_only=True)
class HostOnly(Bundle):
    """Resources of a host."""

    on_image = "it prepares a machine"


@dataclass(frozen=True, kw_only=True)
class ImageOnly(Bundle):
    """Resources of an image."""

    on_host = "it would empty the machine"


for name in ("bundle", "host_only", "image_only"):
    del REGISTRY[name]  # other tests ask which modules there are

PATHS = [f"/{a}" for a in "abc"] + [f"/{a}/{b}" for a in "abc" for b in "xy"]
WORDS = ["one", "two"]


@st.composite
def playbooks(draw: st.DrawFn) -> list[Step]:
    """Modules of which none undoes what an earlier one made: those would never be at rest."""
    made: list[Put] = []
    bundles: list[Bundle] = []
    for size in draw(st.lists(st.integers(0, 3), max_size=6)):
        items: list[Resource] = []
        for _ in range(size):
            paths = draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=4, unique=True))
            seen = {earlier.paths[0]: earlier.word for earlier in made}
            put = Put(tuple(paths), draw(st.sampled_from(WORDS)))
            if all(seen.get(path, put.word) == put.word for path in put.paths):
                made.append(put)
                items.append(put)
        bundles.append(Bundle(items=tuple(items)))
    return steps(Recipe(root=bundles))


worlds = st.dictionaries(st.sampled_from(PATHS), st.sampled_from([*WORDS, "old"]))


@given(playbooks(), worlds)
def test_after_a_play_all_is_as_it_should_be_and_a_second_changes_nothing(
    plan: list[Step], world: World
) -> None:
    play(world, plan)
    states = look(world, all_items(plan))
    assert [item for item in all_items(plan) if item.resource.compare(states[item.index])] == []
    assert predict(plan, states) == [[] for _ in plan]
    before = dict(world)
    assert play(world, plan) == []
    assert world == before


@given(playbooks(), worlds)
def test_a_guess_is_never_ok(plan: list[Step], world: World) -> None:
    states = look(world, all_items(plan))
    unseen = dict(states)
    findings = {f.item.index: f for step in predict(plan, states) for f in step}
    assert states == unseen
    changed = play(dict(world), plan)
    assert set(changed) <= set(findings)
    for index, finding in findings.items():
        earlier = [i for i in all_items(plan) if i.index in findings and i.index < index]
        certain = not stale_after(earlier, [finding.item])
        if certain:
            assert finding.change
            assert finding.after == ""
            assert index in changed


@given(playbooks(), worlds)
def test_the_plan_names_the_first_module_that_may_decide_otherwise(
    plan: list[Step], world: World
) -> None:
    # Same names would hide which one is meant.
    plan = [Step(_named(f"m{n}"), step.scope, step.items) for n, step in enumerate(plan)]
    findings = predict(plan, look(world, all_items(plan)))
    pending: list[tuple[Item, str]] = []
    for step, found in zip(plan, findings, strict=True):
        for finding in found:
            first = [name for item, name in pending if stale_after([item], [finding.item])][:1]
            assert finding.after == next((name for name in first if name != step.name), "")
            assert finding.change or first
            pending.append((finding.item, step.name))


def _named(title: str) -> Module:
    module = Bundle()
    object.__setattr__(module, "name", title)
    return module


# --- bootstraps

FRESH_STAMP = Bootstrap("tree", "make it", stamp="suite=stable\n")
RECORDED = State({"stamp": "c3VpdGU9c3RhYmxlCg=="})
HERE = State({"mode": "81a4", "uid": "0", "gid": "0", "sha256": "0" * 64})


def bootstrapped() -> tuple[list[Step], dict[int, State]]:
    """A host's file, a bootstrap, and a file of the root that needs nothing, all as wanted."""
    file = File("/etc/motd", "hello\n")
    plan = steps(
        Recipe(
            host=[HostOnly(items=(file,))],
            root=[ImageOnly(items=(FRESH_STAMP,)), Bundle(items=(file, File("/etc/other", "x")))],
        )
    )
    sha = file.probe().split()[-2]
    same = State(dict(HERE.fields) | {"sha256": sha})
    return plan, {0: same, 1: RECORDED, 2: same, 3: same}


def test_a_root_at_rest_has_no_findings_but_what_differs() -> None:
    plan, states = bootstrapped()
    findings = predict(plan, states)
    assert findings[:2] == [[], []]
    assert [(f.item.index, f.after) for f in findings[2]] == [(3, "")]


@pytest.mark.parametrize("why", ["fresh", "stamp", "nothing there"])
def test_a_bootstrap_makes_all_that_comes_after_it_change_after_it(why: str) -> None:
    plan, states = bootstrapped()
    if why == "stamp":
        states[1] = State({"stamp": "b2xkCg=="})
    elif why == "nothing there":
        states = {0: states[0]}
    findings = predict(plan, states, fresh=why == "fresh")
    assert findings[0] == []  # the host's own / is another root
    assert [f.item.index for f in findings[1]] == [1]
    # Of the old root nothing is believed: both files will have to be made.
    assert [(f.item.index, f.after) for f in findings[2]] == [(2, "image_only"), (3, "image_only")]
    assert all(f.change and f.change.summary == "create" for f in findings[2])
    if why == "stamp":
        (finding,) = findings[1]
        assert finding.change
        assert (finding.change.before, finding.change.after) == ("old\n", "suite=stable\n")


def test_fresh_means_the_bootstrap_alone_until_the_new_root_is_seen() -> None:
    plan, states = bootstrapped()
    todo, known = due(plan[1], states, fresh=True)
    assert [item.index for item in todo] == [1]
    assert set(known) == {1}
    assert due(plan[1], states) == ([], {})
    # What comes later in the root is looked at again, what is on the host is not.
    assert [item.index for item in stale_after(todo, all_items(plan))] == [1, 2, 3]


# --- where modules belong


def test_resources_are_numbered_through_and_the_host_comes_first() -> None:
    put = Put(("/a",), "one")
    plan = steps(Recipe(host=[HostOnly(items=(put, put))], root=[Bundle(items=(put,)), Bundle()]))
    assert [(i.index, i.scope) for i in all_items(plan)] == [(0, "host"), (1, "host"), (2, "root")]
    assert [step.name for step in plan] == ["host_only", "bundle", "bundle"]


@pytest.mark.parametrize(
    ("recipe", "place"),
    [
        (Recipe(host=[ImageOnly()]), "a host's own /: it would empty the machine"),
        (Recipe(root=[HostOnly()]), "an image's root: it prepares a machine"),
    ],
)
def test_a_module_refuses_a_root_it_is_not_for(recipe: Recipe, place: str) -> None:
    with pytest.raises(UsageError, match=place) as caught:
        steps(recipe)
    assert caught.value.exit_code == 2


def test_what_stands_in_the_way_may_be_taken_away_first() -> None:
    way, file = Absent(("/opt/x",)), File("/opt/x", "new")
    plan = steps(Recipe(root=[Bundle(items=(way,)), Bundle(items=(file,))]))
    folder = State({"mode": f"{0o040755:x}"})
    states = {0: State({"count": "1"}), 1: folder}
    _, (finding,) = predict(plan, states)
    assert (finding.item.index, finding.change) == (1, None)
    with pytest.raises(StepError, match="is a folder"):
        predict(plan, states | {0: State({"count": "0"})})


@pytest.mark.parametrize("wanted", [File("/x", "", owner="web"), Directory("/x", group="web")])
def test_a_name_means_what_the_root_says_by_then(wanted: File | Directory) -> None:
    line = Line("/etc/group", "web:x:7:")
    (first, second), (_, numbered) = (
        steps(Recipe(root=[Bundle(items=(line, one))]))[0].items
        for one in (wanted, replace(wanted, owner=0, group="0"))
    )
    assert stale_after([first], [second]) == [second]
    assert stale_after([first], [numbered]) == []


def test_what_is_written_in_one_scope_is_not_seen_in_the_other() -> None:
    put = Put(("/a",), "one")
    written, same, other = Item(0, "host", put), Item(1, "host", put), Item(2, "root", put)
    assert stale_after([written], [same, other]) == [same]
