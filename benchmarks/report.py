"""Writing what a group of benchmarks found: as JSON, as a table, and as a picture."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from benchmarks import plot, tables
from benchmarks.measure import Spread
from benchmarks.results import FOLDER, Findings


def save(findings: Findings, folder: Path = FOLDER) -> str:
    """Write a group's JSON, table and picture; return the table."""
    folder.mkdir(exist_ok=True)
    base = folder / findings.group
    raw = json.dumps(dataclasses.asdict(findings), indent=1)
    base.with_suffix(".json").write_text(f"{raw}\n")
    text = tables.table(findings)
    base.with_suffix(".md").write_text(text)
    bars = [
        plot.Bar(f"{case.what}, {case.where}", name, Spread.of([run.seconds for run in runs]))
        for case in findings.cases
        for name, runs in case.runs.items()
    ]
    base.with_suffix(".svg").write_text(plot.picture(findings.title, bars))
    return text
