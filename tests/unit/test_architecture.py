"""The plan of the house: imports point one way, the wings do not know each other."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

LEAVES = {"errors", "secret", "text"}
STATE = {"resource", "module", "playbook", "plan"}
HOSTS = {"session", "hosts", "inventory"}
SHIPPING = {"layer", "layer_stream", "image", "sinks"}
# They know nobody, and only those who join the wings know them.
ALONE = [{"catalog"}, {"report"}, {"doctor"}, {"sample_mirror"}]
JOINING = {"play", "run", "together", "ship", "cli"}
WINGS = [STATE, HOSTS, SHIPPING, *ALONE]

HEAVY = {"docker", "fabric", "jinja2", "paramiko", "rich"}
HEAVY_WELCOME = ("rootwright.hosts.ssh", "rootwright.hosts.host_keys", "rootwright.sinks.")
"""What is imported only when it is used."""


def allowed(room: str) -> set[str]:
    """Return the rooms that a room may import from."""
    if room in LEAVES:
        return LEAVES
    if room in JOINING:
        return LEAVES.union(JOINING, *WINGS)
    if room == "modules":
        return {"modules"} | STATE | LEAVES
    if room == "playbooks":
        return {"playbooks", "modules"} | STATE | LEAVES
    (wing,) = [wing for wing in WINGS if room in wing]
    return wing | LEAVES


def sources() -> Iterator[tuple[str, Path]]:
    """Yield every source file with the module name it is imported by."""
    for folder, package in (
        ("rootwright", "rootwright"),
        ("modules", "rootwright.modules"),
        ("playbooks", "rootwright.playbooks"),
    ):
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            parts = list(path.relative_to(REPOSITORY / folder).with_suffix("").parts)
            # The links to the two folders beside the package.
            if folder == "rootwright" and parts[0] in ("modules", "playbooks"):
                continue
            if parts[-1] == "__init__":
                parts.pop()
            yield ".".join([package, *parts]), path


SOURCES = dict(sources())


def imported(name: str, path: Path) -> Iterator[tuple[str, int]]:
    """Yield what a file imports, wherever in it, as full names with the line."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: 1 - node.level or None] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            # `from rootwright import cli` imports rootwright.cli.
            yield from ((f"{module}.{alias.name}", node.lineno) for alias in node.names)


def room_of(name: str) -> str:
    """Return the room of a name below ``rootwright``, empty for the package itself."""
    return [*name.split("."), ""][1]


@pytest.mark.parametrize("name", SOURCES)
def test_imports_point_one_way(name: str) -> None:
    room = room_of(name)
    for target, line in imported(name, SOURCES[name]):
        top = target.split(".")[0]
        here = f"{SOURCES[name].relative_to(REPOSITORY)}:{line} imports {target}"
        assert top not in ("tasks", "tests", "benchmarks", "modules", "playbooks"), here
        if top != "rootwright" or target == "rootwright.__version__":
            continue
        if room == "cli" and target in ("rootwright.modules", "rootwright.playbooks"):
            continue  # the folders, to see what is in them
        assert room_of(target) in allowed(room), here


def test_every_room_has_a_place_in_the_plan() -> None:
    rooms = {room_of(name) for name in SOURCES} - {""}
    known = LEAVES.union({"modules", "playbooks"}, JOINING, *WINGS)
    assert rooms - known == set()


def at_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run when a file is imported."""
    for node in body:
        yield node
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            yield from at_import(node.orelse)
            continue
        for inner in ("body", "orelse", "finalbody"):
            yield from at_import(getattr(node, inner, []))
        for handler in getattr(node, "handlers", []):
            yield from at_import(handler.body)


@pytest.mark.parametrize("name", SOURCES)
def test_what_is_heavy_is_imported_where_it_is_used(name: str) -> None:
    for node in at_import(ast.parse(SOURCES[name].read_text()).body):
        targets = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            targets = [node.module or ""]
        heavy = {target.split(".")[0] for target in targets} & HEAVY
        assert not heavy or name.startswith(HEAVY_WELCOME), (node.lineno, heavy)


@pytest.mark.parametrize("words", [["--list"], ["playbooks"], ["modules"], ["hosts"]])
def test_looking_around_imports_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    script = f"""
import runpy, sys
sys.argv = ["tasks.py", *{words!r}]
sys.path.insert(0, {str(REPOSITORY)!r})
try:
    runpy.run_path({str(REPOSITORY / "tasks.py")!r}, run_name="__main__")
except SystemExit as e:
    assert not e.code, e.code
heavy = {sorted(HEAVY | {"pexpect"})!r}
print(sorted(name for name in heavy if name in sys.modules), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "[]"
    assert done.stdout or words == ["playbooks"]
