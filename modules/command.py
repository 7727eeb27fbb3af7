"""A command of one's own, as a module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from rootwright import resource
from rootwright.module import Module
from rootwright.resource import Answer, Resource
from rootwright.resource.base import WHOLE_ROOT


@dataclass(frozen=True, kw_only=True)
class Command(Module):
    """Run a command where it is needed.

    title: what it does, in two or three words.
    run: sh, run with ``-eu`` inside the root; on the host, where ``$rw_root`` is the root's
        folder, with ``inside=False``. Users of the host may see it in the list of processes.
    One of these says whether it is needed:
        creates: a path in the root that it makes.
        unless: sh that succeeds when there is nothing to do; it runs in the root, with neither
            /proc nor /dev, and must change nothing (not even by ``2>/dev/null``: its output is
            thrown away as it is).
        stamp: a text that is recorded after success; it is needed while another one is.
    reads, writes: paths in the root that decide whether it is needed and that it may alter; by
        default any, which makes everything after it be looked at again.
    answers: the dialogue, when the program asks questions.
    env: further environment variables.
    """

    title: str
    run: str
    creates: str = ""
    unless: str = ""
    stamp: str = ""
    inside: bool = True
    reads: tuple[str, ...] = WHOLE_ROOT
    writes: tuple[str, ...] = WHOLE_ROOT
    answers: tuple[Answer, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    def resources(self) -> Iterator[Resource]:
        """Yield the command."""
        yield resource.Command(
            self.title,
            self.run,
            creates=self.creates,
            unless=self.unless,
            stamp=self.stamp,
            inside=self.inside,
            reads=self.reads,
            writes=self.writes,
            answers=self.answers,
            env=self.env,
        )
