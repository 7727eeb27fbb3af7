"""Things to report, and text that is out to do harm."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from rootwright.errors import StepError
from rootwright.report import (
    ChangeReport,
    HostReport,
    ImageReport,
    ModuleReport,
    Reporter,
)

DIGEST = "sha256:" + "0f3c61d2a9b1" * 5 + "0000"
IMAGE = ImageReport(DIGEST, DIGEST, 113_400_000, ["demo/debian:1"], 113_400_000, "changed")
ERROR = StepError("locale-gen ended with status 1", where="locale", hint="name one that is there")
EDIT = ChangeReport("/etc/timezone", "new content", "UTC\n", "Europe/Paris\n", "debootstrap")
ACTING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

# Every code point, surrogates too, with the dangerous ones made likely.
anything = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\x1b\x9b\x9d\x07\x08\r\n\t\0[]();?0m\\\u202e\u2066"),
        st.characters(categories=["Cs"]),
    )
)


def play(reporter: Reporter, host: str, text: str = "I: Retrieving libc6") -> HostReport:
    """Play everything there is to report, quickly."""
    reporter.play_started(host, "debian", ["debootstrap", "timezone"])
    reporter.module_started(host, "debootstrap")
    reporter.output(host, text)
    modules = [
        ModuleReport("debootstrap", "changed", 11.93),
        ModuleReport("timezone", "changed", 0.1, [EDIT]),
    ]
    for module in modules:
        reporter.module_done(host, module)
    reporter.shipping(host, 113_400_000, "docker")
    for sent in range(0, 113_400_001, 113_400):
        reporter.shipped_bytes(host, sent)
    reporter.image_done(host, IMAGE)
    reporter.note(host, text)
    report = HostReport(host, modules, IMAGE, None, 12.5, 3)
    reporter.play_done(host, report)
    return report
