"""The report."""

from __future__ import annotations

import json

from hypothesis import given

from rootwright.errors import HostError, Interrupted, ShipError
from rootwright.report import (
    HostReport,
    Masker,
    ModuleReport,
    RunReport,
)
from rootwright.report.lines import size_text
from tests.support.reports import ACTING, DIGEST, EDIT, ERROR, IMAGE, anything


def test_json_report_has_the_names_of_the_contract() -> None:
    modules = [
        ModuleReport("packages", "ok", 0.12345, note="not for the report"),
        ModuleReport("timezone", "would change", 0.0, [EDIT]),
        ModuleReport("hostname", "skipped", 0.0),
        ModuleReport("locale", "failed", 1.0),
    ]
    good = HostReport("archie", modules, IMAGE, None, 1.23456, 4)
    bad = HostReport("badger", error=ERROR)
    report = RunReport("debian", {"suite": "trixie", "password": "hunter2"}, [good, bad])
    assert json.loads(report.to_json(Masker(["hunter2"]))) == {
        "playbook": "debian",
        "options": {"suite": "trixie", "password": "***"},
        "hosts": [
            {
                "host": "archie",
                "ok": 1,
                "changed": 0,
                "would_change": 1,
                "skipped": 1,
                "failed": 1,
                "seconds": 1.235,
                "round_trips": 4,
                "modules": [
                    {"name": "packages", "state": "ok", "seconds": 0.123, "changes": []},
                    {
                        "name": "timezone",
                        "state": "would change",
                        "seconds": 0.0,
                        "changes": [
                            {
                                "resource": "/etc/timezone",
                                "summary": "new content",
                                "before": "UTC\n",
                                "after": "Europe/Paris\n",
                                "depends_on": "debootstrap",
                            }
                        ],
                    },
                    {"name": "hostname", "state": "skipped", "seconds": 0.0, "changes": []},
                    {"name": "locale", "state": "failed", "seconds": 1.0, "changes": []},
                ],
                "image": {
                    "id": DIGEST,
                    "digest": DIGEST,
                    "size": 113_400_000,
                    "tags": ["demo/debian:1"],
                    "sent_bytes": 113_400_000,
                    "state": "changed",
                },
                "error": None,
            },
            {
                "host": "badger",
                "ok": 0,
                "changed": 0,
                "would_change": 0,
                "skipped": 0,
                "failed": 0,
                "seconds": 0.0,
                "round_trips": 0,
                "modules": [],
                "image": None,
                "error": {
                    "type": "StepError",
                    "what": "locale-gen ended with status 1",
                    "where": "locale",
                    "hint": "name one that is there",
                },
            },
        ],
    }


@given(anything)
def test_json_cannot_act_on_a_terminal_and_reads_back(text: str) -> None:
    printed = RunReport("p", {"x": text}).to_json()
    assert not ACTING.search(printed)
    assert json.loads(printed)["options"]["x"] == json.loads(json.dumps(text))


def test_exit_code_is_the_highest_of_the_plays() -> None:
    well = HostReport("a")
    failed = HostReport("b", [ModuleReport("m", "failed", 0.0)])
    assert RunReport("p").exit_code == 0
    assert RunReport("p", {}, [well]).exit_code == 0
    assert RunReport("p", {}, [well, failed]).exit_code == 1
    ends = [HostReport(str(n), error=e) for n, e in enumerate([HostError(""), ShipError("")])]
    assert RunReport("p", {}, [failed, *ends]).exit_code == 4
    ended = HostReport("c", error=Interrupted("stopped"))
    assert RunReport("p", {}, [*ends, ended, well]).exit_code == 130


def test_sizes() -> None:
    sizes = [0, 999, 1000, 999_949, 999_950, 113_400_000, 2 * 10**9, 10**15]
    expected = ["0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "113.4 MB", "2.0 GB", "1000.0 TB"]
    assert [size_text(size) for size in sizes] == expected
