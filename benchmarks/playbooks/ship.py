"""A playbook whose root is a folder that is there already: only shipping it takes time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rootwright.module import Module
from rootwright.playbook import ImageConfig, Recipe, playbook
from rootwright.resource import Bootstrap, Resource, quote


@dataclass(frozen=True, kw_only=True)
class Linked(Module):
    """A root made of hard links to the files of a folder beside the work dir."""

    tree: str

    def resources(self) -> Iterator[Resource]:
        copy = f'{quote("cp", "-al", f"{self.tree}/.")} "$rw_root/"'
        date = 'echo 1700000000 >"$rw_state/epoch"'
        yield Bootstrap("linked", f"{copy}\n{date}", stamp=self.tree)


@playbook()
def ship(_host: Mapping[str, str], *, tree: str = "") -> Recipe:
    """Ship a folder.

    tree: the folder
    """
    return Recipe(root=[Linked(tree=tree)], image=ImageConfig(cmd=["/bin/sh"]))
