"""What the documentation shows works: its code blocks are run as they stand."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import rootwright.modules
from rootwright.module import REGISTRY as MODULES
from rootwright.module import manual
from rootwright.plan import steps
from rootwright.playbook import REGISTRY as PLAYBOOKS
from rootwright.playbooks import debian
from rootwright.resource import File
from tests.support.needs import lacks_root, needs

DOCS = Path(__file__).resolve().parents[2] / "docs"
FACTS = {
    "os": "debian",
    "codename": "bookworm",
    "arch": "x86_64",
    "dpkg_architecture": "amd64",
    "apt_targets": "http://a.example.org/debian/ bookworm Debian\n"
    "http://a.example.org/debian-security/ bookworm-security Debian-Security",
}


def run(number: int, code: str) -> ModuleType:
    """Run a code block as a file of its own would be."""
    name = f"docs_block_{number}"
    block = ModuleType(name)
    sys.modules[name] = block
    exec(compile(code, f"{DOCS.name}, block {number}", "exec", dont_inherit=True), vars(block))
    return block


@pytest.fixture
def blocks() -> Iterator[list[ModuleType]]:
    """The code blocks of the page, run one after the other."""
    modules, playbooks = dict(MODULES), dict(PLAYBOOKS)
    text = (DOCS / "modules-and-playbooks.md").read_text("utf-8")
    ran: list[ModuleType] = []
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL)):
        ran.append(run(number, code))
        if number == 0:
            # The page drops it into modules/.
            vars(rootwright.modules)["Motd"] = vars(ran[0])["Motd"]
    yield ran
    del vars(rootwright.modules)["Motd"]
    MODULES.clear()
    MODULES.update(modules)
    PLAYBOOKS.clear()
    PLAYBOOKS.update(playbooks)


def test_the_module_and_the_playbook_of_the_page(blocks: list[ModuleType]) -> None:
    assert "Greet whoever logs in." in manual(MODULES["motd"])
    book = PLAYBOOKS["greeting"]
    assert (book.options["text"].default, book.options["slim"].kind) == ("Welcome", "bool")
    assert book.options["text"].help == "what /etc/motd says"
    settings = book.settings([("here", {"text": "Hello"})])
    plan = steps(book.recipe(settings, FACTS))
    assert [step.name for step in plan][-1] == "motd"
    (item,) = plan[-1].items
    assert isinstance(item.resource, File)
    assert item.resource.data == b"Hello\n"
    assert plan[-1].module.history() == "motd text=Hello"


def test_the_page_s_own_test(blocks: list[ModuleType], tmp_path: Path) -> None:
    needs(lacks_root())
    vars(blocks[-1])["test_motd"](tmp_path)


def test_examples_are_short(blocks: list[ModuleType]) -> None:
    text = (DOCS / "modules-and-playbooks.md").read_text("utf-8")
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        lines = [line for line in code.splitlines() if line.strip()]
        lines = [
            line for line in lines if not re.match(r"from |import |\s+\"\"\"|\s+\w+: .* ", line)
        ]
        assert len(lines) <= 10, lines


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_option_in_the_debian_page_exists() -> None:
    text = (DOCS / "debian.md").read_text("utf-8")
    known = {name.replace("_", "-") for name in PLAYBOOKS[debian.debian.__name__].options}
    known |= {"help", "tag", "check", "diff", "fresh"}
    assert set(re.findall(r"--([a-z][a-z-]+)", text)) <= known
