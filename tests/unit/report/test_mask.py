"""Secrets that are hidden."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from rootwright.report import (
    HostReport,
    Masker,
    ModuleReport,
    RunReport,
)
from tests.support.reports import DIGEST, IMAGE, anything

plain = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=4)


@given(st.lists(plain, min_size=1), anything)
def test_no_secret_goes_out(secrets: list[str], around: str) -> None:
    masker = Masker(secrets)
    told = {"a": [around + secret + around for secret in secrets], "b": Path("/" + secrets[0])}
    shown = masker.data(told)
    assert isinstance(shown, dict)
    assert not any(secret in text for secret in secrets for text in [*shown["a"], shown["b"]])


def test_secrets_are_hidden_whole_and_by_line() -> None:
    masker = Masker(["", "  ", "pass", "password"])
    assert masker.text("password pass") == "*** ***"
    masker.add("-----BEGIN KEY-----\nMIIEvQIBADANBg\nab\n")
    assert masker.text("a -----BEGIN KEY-----\nMIIEvQIBADANBg\nab z") == "a *** z"
    assert masker.text("MIIEvQIBADANBg and ab") == "*** and ab"


def test_data_of_any_kind_becomes_json() -> None:
    masker = Masker(["hunter2"])
    given_ = {"s": {"b", "a"}, "p": Path("/x"), "t": ("x", None, 1, 1.5, True), "o": b"hunter2"}
    assert masker.data(given_) == {
        "s": ["a", "b"],
        "p": "/x",
        "t": ["x", None, 1, 1.5, True],
        "o": "b'***'",
    }


def test_our_own_words_are_never_hidden() -> None:
    masker = Masker(["0f3c", "ok"])
    report = RunReport("p", {}, [HostReport("h", [ModuleReport("m", "ok", 0.0)], IMAGE)])
    host = json.loads(report.to_json(masker))["hosts"][0]
    assert host["modules"][0]["state"] == "ok"
    assert host["image"]["id"] == DIGEST
