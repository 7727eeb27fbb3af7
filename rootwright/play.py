"""The play: one look, a plan, then one request for each module that changes.

This is where states meet hosts: the scripts are put together, sent, and their records understood.
"""

from __future__ import annotations

import importlib.resources
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rootwright.errors import RootwrightError, StepError
from rootwright.plan import (
    Finding,
    Item,
    Step,
    all_items,
    due,
    predict,
    stale_after,
)
from rootwright.report import ChangeReport, ModuleReport, Reporter
from rootwright.report.data import State as Outcome
from rootwright.resource import Bootstrap, Change, State, quote
from rootwright.session import Reply, Session
from rootwright.text import whole_number

BASE_FACTS = (
    ("os", '. /etc/os-release && printf %s "$ID"'),
    ("os_like", '. /etc/os-release && printf %s "${ID_LIKE-}"'),
    ("codename", '. /etc/os-release && printf %s "${VERSION_CODENAME-}"'),
    ("arch", "uname -m"),
)
"""What every playbook may know of its host: names and sh."""


def vocabulary(epoch: str) -> str:
    """Return the sh that every request of a play may use.

    epoch: SOURCE_DATE_EPOCH where the user set it, else empty.
    """
    prelude = importlib.resources.files("rootwright").joinpath("prelude.sh").read_text()
    return f"rw_given_epoch={epoch}\n{prelude}"


def probe_script(items: Iterable[Item], kind: str = "state") -> str:
    """Return sh that says the present state of each resource, one record each."""
    lines = []
    scope = ""
    for item in items:
        if item.scope != scope:
            scope = item.scope
            lines.append(f"rw_use {scope}")
        # A tool's complaint in the middle of a record would spoil it.
        lines.append(f"printf '\\036%s {kind} {item.index} ' \"$rw_nonce\"")
        lines.append(f"{{ {item.resource.probe()}\n}} 2>/dev/null")
        lines.append("echo")
    return "\n".join(lines)


def look_script(items: Sequence[Item]) -> str:
    """Return sh that says the present state of all resources of a play, one record each.

    Those that a glance may settle are looked at together: two processes for each of them would be
    most of the time that a play takes when nothing has changed.
    """
    glances = {item.index: item.resource.glance() for item in items}
    lines = ["rw_again=' '"]
    for scope in dict.fromkeys(item.scope for item in items):
        words = [
            quote(item.index, seen[1], seen[0])
            for item in items
            if item.scope == scope and (seen := glances[item.index])
        ]
        if words:
            lines += [f"rw_use {scope}", f"rw_glance {' '.join(words)}"]
    for item in items:
        probe = probe_script([item])
        again = f"case $rw_again in *' {item.index} '*)\n{probe}\n;;\nesac"
        lines.append(again if glances[item.index] else probe)
    return "\n".join(lines)


def converge_script(todo: Sequence[Item], stale: Iterable[Item]) -> str:
    """Return sh that converges resources, each looked at before and after, then looks at others."""
    lines = []
    for item in todo:
        lines += [
            probe_script([item], "before"),
            f"rw_say now {item.index}",
            f"(\nset -e\n{item.resource.converge()}\n)",
            f'rw_status=$?\n[ "$rw_status" = 0 ] || {{ rw_say failed {item.index}; exit 1; }}',
            probe_script([item], "after"),
        ]
    return "\n".join([*lines, probe_script(stale)])


@dataclass
class Player:
    """Plays steps in a session and reports each.

    fresh: make the root anew, whatever is there.
    """

    session: Session
    steps: Sequence[Step]
    reporter: Reporter
    host: str
    fresh: bool = False

    def observe(self) -> dict[int, State]:
        """Look at everything, in one round trip."""
        items = all_items(self.steps)
        reply = self.session.request(look_script(items))
        states = _states(reply, "state", items)
        # What was not seen must not pass for absent: it would be made anew.
        if reply.status != 0 or len(states) < len(items):
            raise StepError(
                f"the host could not say what is there (status {reply.status})",
                where=self.host,
                output=reply.output,
                hint="nothing was changed; a tool on the host may be broken, or was killed",
            )
        return states

    def check(self, states: Mapping[int, State]) -> list[ModuleReport]:
        """Report what would change; change nothing."""
        reports = []
        for step, findings in zip(
            self.steps, predict(self.steps, states, fresh=self.fresh), strict=True
        ):
            changes = [_planned(finding) for finding in findings]
            state: Outcome = "would change" if changes else "ok"
            report = ModuleReport(step.name, state, 0.0, changes)
            self.reporter.module_done(self.host, report)
            reports.append(report)
        return reports

    def apply(self, states: dict[int, State], done: Callable[[ModuleReport], None]) -> None:
        """Make every step's state, in order; ``done`` is told of each, well or not.

        Raises the error of the step that failed; the steps after it are skipped.
        """
        for position, step in enumerate(self.steps):
            started = time.monotonic()
            changes: list[ChangeReport] = []
            try:
                todo, known = due(step, states, fresh=self.fresh)
                if todo:
                    self.reporter.module_started(self.host, step.name)
                    changes = self._converge(position, todo, known, states)
            except RootwrightError as e:
                e.where = e.where or f"{self.host}, module {step.name}"
                seconds = time.monotonic() - started
                done(ModuleReport(step.name, "failed", seconds, changes, e.what))
                for later in self.steps[position + 1 :]:
                    done(ModuleReport(later.name, "skipped", 0.0, (), "an earlier step failed"))
                raise
            state: Outcome = "changed" if changes else "ok"
            done(ModuleReport(step.name, state, time.monotonic() - started, changes))

    def _converge(
        self,
        position: int,
        todo: Sequence[Item],
        known: Mapping[int, Change],
        states: dict[int, State],
    ) -> list[ChangeReport]:
        """Converge resources of one step in one round trip; return what changed."""
        stale = stale_after(todo, all_items(self.steps[position + 1 :]))
        reply = self.session.request(
            converge_script(todo, stale),
            answers=[(a.pattern, a.reply) for item in todo for a in item.resource.answers],
            on_output=lambda line: self.reporter.output(self.host, line),
        )
        before, after = _states(reply, "before", todo), _states(reply, "after", todo)
        self._raise_failure(todo, reply, after)
        seen = _states(reply, "state", stale)
        # What an earlier look said of them no longer holds.
        if len(before) < len(todo) or len(seen) < len(stale):
            raise _nonsense("it leaves something out", self.host)
        states.update(seen)
        changes = []
        for item in todo:
            states[item.index] = after[item.index]
            change = known.get(item.index) or item.resource.compare(before[item.index])
            left = item.resource.compare(after[item.index])
            if left:
                raise StepError(
                    f"{item.resource.label} is still not what was asked for: {left.summary}",
                    where=f"{self.host}, module {self.steps[position].name}",
                    output=_difference(left),
                    hint="another module, or a program in the root, may undo it",
                )
            if change:
                changes.append(_made(item, change))
        return changes

    def _raise_failure(
        self, todo: Sequence[Item], reply: Reply, after: Mapping[int, State]
    ) -> None:
        failed = [payload for kind, payload in reply.records if kind == "failed"]
        item = next((item for item in todo if str(item.index) in failed), None)
        if item is None and reply.status == 0 and all(i.index in after for i in todo):
            return
        item = item or next((i for i in todo if i.index not in after), todo[-1])
        lines = reply.output.splitlines()
        said = [
            line.removeprefix("rootwright: ") for line in lines if line.startswith("rootwright: ")
        ]
        root = f"{self.session.folder}/tree/rootfs" if item.scope == "root" else ""
        command = item.resource.replay(root)
        hint = "the output says why; nothing half-made was kept"
        if command:
            hint = "the command above shows it again, by hand, on the host"
        elif said and not isinstance(item.resource, Bootstrap):
            hint = f"look at what stands there, below {root or '/'} on the host"
        raise StepError(
            said[-1] if said else f"{item.resource.label} failed",
            command=command,
            output="\n".join(line for line in lines if not line.startswith("rootwright: ")),
            hint=next((known for text, known in _HINTS if text in reply.output), hint),
        )


def _states(reply: Reply, kind: str, asked: Sequence[Item]) -> dict[int, State]:
    """Return what a reply says of the items that were asked for; not all of them need be there.

    Raises StepError for records of anything else, and for a second one of the same: no sh of ours
    says that, so what the others say is worth nothing either.
    """
    known = {item.index for item in asked}
    states: dict[int, State] = {}
    for record, payload in reply.records:
        if record != kind:
            continue
        word, _, words = payload.partition(" ")
        index = whole_number(word)
        if index not in known or index in states:
            raise _nonsense(f"{kind} {word[:20]!r}")
        states[index] = State.parse(words)
    return states


def _nonsense(what: str, where: str = "") -> StepError:
    return StepError(
        f"the host's answer makes no sense: {what}",
        where=where,
        hint="a login script, an alias or a broken tool on the host may add its own text",
    )


def _planned(finding: Finding) -> ChangeReport:
    change = finding.change or Change("may change")
    return ChangeReport(
        finding.item.resource.label,
        change.summary,
        change.before,
        change.after,
        finding.after or None,
    )


def _made(item: Item, change: Change) -> ChangeReport:
    return ChangeReport(item.resource.label, change.summary, change.before, change.after)


def _difference(change: Change) -> str:
    if change.before is None or change.after is None:
        return ""
    return f"it is:\n{change.before[:1000]}\nit should be:\n{change.after[:1000]}"


_HINTS = (
    (
        "No space left on device",
        "free space where the work dir is, or choose another with --work-dir",
    ),
    ("Could not get lock", "another package manager runs on the host: wait for it"),
    ("Read-only file system", "choose a work dir that can be written, with --work-dir"),
)
