"""What `doctor` prints of a host."""

from __future__ import annotations

import contextlib

from rootwright import playbook as playbooks
from rootwright.doctor import CHECKS, Check, tool, verdicts
from rootwright.errors import HostError, RootwrightError, ShipError, StepError
from rootwright.hosts import connect, prompt_for
from rootwright.inventory import HostSpec
from rootwright.run import DEFAULT_WORK_DIR, whoami
from rootwright.session import Session, SessionSpec
from rootwright.text import harmless


def examine(spec: HostSpec, work_dir: str, password: str) -> RootwrightError | None:
    """Print what a host offers and lacks; return the error that stands for its lacks, if any.

    password: sudo's, asked for where it is empty.
    """
    books = playbooks.REGISTRY.values()
    checks = {name: tool(name, package) for book in books for name, package in book.tools.items()}
    try:
        facts = _facts(spec, work_dir or DEFAULT_WORK_DIR, [*CHECKS, *checks.values()], password)
    except HostError as e:
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
    version, problem = _engine()
    _line("Docker engine", version, problem, "start one, or let the image go to dist/")
    if lacks:
        return StepError(lacks[0].lack, where=spec.name, hint=lacks[0].mend)
    return None


def _facts(spec: HostSpec, work_dir: str, checks: list[Check], password: str) -> dict[str, str]:
    host = connect(spec, ask=prompt_for(password))
    wanted = SessionSpec(
        # Nothing is made there: only a look, with no lock that another play might miss.
        folder=f"{work_dir}/.doctor",
        who=whoami(),
        check=True,
        facts=[(check.fact, check.script) for check in checks],
    )
    try:
        with Session(host, wanted) as session:
            return session.facts
    finally:
        host.close()


def _engine() -> tuple[str, str]:
    """Return the Docker engine's version, or what keeps us from it."""
    from rootwright.sinks.engine import Engine

    try:
        with contextlib.closing(Engine()) as engine:
            return str(engine.client.version().get("Version", "answers")), ""
    except ShipError as e:
        return "", e.what


def _line(name: str, found: str, lack: str, mend: str) -> None:
    # What was found is what the host says, and it may say anything.
    if lack:
        print(harmless(f"  lack  {name}: {lack}"))
        if mend:
            print(harmless(f"        mend: {mend}"))
    else:
        print(harmless(f"  ok    {name}: {found}"))
