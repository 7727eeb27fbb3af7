"""What `doctor` prints of a host."""

from __future__ import annotations

import contextlib

from rootwright import playbook as playbooks
from rootwright.doctor import CHECKS, Check, tool, verdicts
from rootwright.errors import RootwrightError, ShipError, StepError, UsageError
from rootwright.hosts import Host, connect, prompt_for
from rootwright.inventory import HostSpec
from rootwright.run import DEFAULT_WORK_DIR, whoami
from rootwright.session import Session, SessionSpec
from rootwright.text import harmless


def examine(
    spec: HostSpec, work_dir: str, password: str, *, accept_new: bool = False
) -> RootwrightError | None:
    """Print what a host offers and lacks; return the error that stands for its lacks, if any.

    password: sudo's, asked for where it is empty. accept_new: trust a host seen the first time.
    """
    books = playbooks.REGISTRY.values()
    checks = {name: tool(name, package) for book in books for name, package in book.tools.items()}
    try:
        host = connect(spec, ask=prompt_for(password), accept_new=accept_new)
        with contextlib.closing(host):
            facts = _facts(host, work_dir or DEFAULT_WORK_DIR, [*CHECKS, *checks.values()])
    except RootwrightError as e:
        print(f"{spec.name}:")
        _line("session", "", e.what, e.hint)
        return e
    print(f"{spec.name}:")
    lacks = []
    for check, verdict in verdicts(facts):
        _line(check.name, verdict.found, verdict.lack, verdict.mend)
        lacks += [verdict] if verdict.lack else []
    for book in books:
        if book.tools:
            print(f"  for {book.name}:")
        for name in book.tools:
            verdict = checks[name].judge(facts.get(checks[name].fact, ""))
            mend = f"{verdict.mend}; or let the build do it" if verdict.mend else ""
            _line(f"  {name}", verdict.found, verdict.lack, mend)
    print("here:")
    _line("Docker engine", *_engine())
    if lacks:
        return StepError(lacks[0].lack, where=spec.name, hint=lacks[0].mend)
    return None


def _facts(host: Host, work_dir: str, checks: list[Check]) -> dict[str, str]:
    wanted = SessionSpec(
        # Nothing is made there: only a look, with no lock that another play might miss.
        folder=f"{work_dir}/.doctor",
        who=whoami(),
        check=True,
        facts=[(check.fact, check.script) for check in checks],
    )
    with Session(host, wanted) as session:
        return session.facts


def _engine() -> tuple[str, str, str]:
    """Return the Docker engine's version, or what keeps us from it and what to do about it."""
    from rootwright.sinks.engine import Engine

    try:
        with contextlib.closing(Engine()) as engine:
            return str(engine.client.version().get("Version", "answers")), "", ""
    except (ShipError, UsageError) as e:
        return "", e.what, e.hint


def _line(name: str, found: str, lack: str, mend: str) -> None:
    # What was found is what the host says, and it may say anything.
    if lack:
        print(harmless(f"  lack  {name}: {lack}"))
        if mend:
            print(harmless(f"        mend: {mend}"))
    else:
        print(harmless(f"  ok    {name}: {found}"))
