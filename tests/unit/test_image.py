"""The image's configuration, its ID, and the names an image can have."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootwright.errors import UsageError
from rootwright.image import Reference, image_config, image_id, parse_reference, parse_references

DIFF_ID = "sha256:" + "ab" * 32


def config(**changes: Any) -> bytes:
    given: dict[str, Any] = {
        "architecture": "amd64",
        "created_epoch": 1_700_000_000,
        "diff_id": DIFF_ID,
        "cmd": ["/bin/bash"],
        "env": {"PATH": "/usr/bin", "LANG": "C.UTF-8"},
        "labels": {"org.opencontainers.image.title": "débian"},
        "history": ["debootstrap trixie", "timezone UTC", "slim"],
    }
    return image_config(**(given | changes))


def test_the_whole_configuration() -> None:
    assert json.loads(config()) == {
        "architecture": "amd64",
        "os": "linux",
        "created": "2023-11-14T22:13:20Z",
        "config": {
            "Cmd": ["/bin/bash"],
            "Env": ["LANG=C.UTF-8", "PATH=/usr/bin"],
            "Labels": {"org.opencontainers.image.title": "débian"},
        },
        "rootfs": {"type": "layers", "diff_ids": [DIFF_ID]},
        "history": [
            {
                "created": "2023-11-14T22:13:20Z",
                "created_by": "debootstrap trixie",
                "empty_layer": True,
            },
            {
                "created": "2023-11-14T22:13:20Z",
                "created_by": "timezone UTC",
                "empty_layer": True,
            },
            {"created": "2023-11-14T22:13:20Z", "created_by": "slim"},
        ],
    }


def test_the_same_meaning_gives_the_same_bytes() -> None:
    again = config(env={"LANG": "C.UTF-8", "PATH": "/usr/bin"}, cmd=("/bin/bash",))
    assert again == config()
    assert image_id(again) == image_id(config())
    assert image_id(config(user="nobody")) != image_id(config())


def test_every_field_has_its_place() -> None:
    document = json.loads(
        config(
            architecture="arm",
            variant="v7",
            entrypoint=["/init"],
            workdir="/srv",
            user="www-data",
            stop_signal="SIGRTMIN+3",
            history=[],
        )
    )
    assert document["variant"] == "v7"
    assert (
        document["config"]
        | {
            "Entrypoint": ["/init"],
            "WorkingDir": "/srv",
            "User": "www-data",
            "StopSignal": "SIGRTMIN+3",
        }
        == document["config"]
    )
    assert [entry.get("empty_layer", False) for entry in document["history"]] == [False]


@given(st.lists(st.text(), max_size=9))
def test_one_history_entry_carries_the_layer(lines: list[str]) -> None:
    history = json.loads(config(history=lines))["history"]
    assert [not entry.get("empty_layer") for entry in history].count(True) == 1
    assert [entry["created_by"] for entry in history] == (lines or ["rootwright"])


@pytest.mark.parametrize(
    "changes",
    [
        {"diff_id": "abc"},
        {"env": {"A=B": "c"}},
        {"env": {"": "c"}},
        {"env": {"A": "\0"}},
        {"labels": {"": "c"}},
        {"created_epoch": 1 << 60},
    ],
)
def test_what_no_configuration_can_hold(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        config(**changes)


@pytest.mark.parametrize(
    ("text", "name", "tag", "full"),
    [
        ("debian", "debian", "latest", "docker.io/library/debian:latest"),
        ("demo/debian:1", "demo/debian", "1", "docker.io/demo/debian:1"),
        ("docker.io/library/debian:12", "debian", "12", "docker.io/library/debian:12"),
        ("index.docker.io/a/b", "a/b", "latest", "docker.io/a/b:latest"),
        ("localhost/a", "localhost/a", "latest", "localhost/a:latest"),
        ("localhost:5000/a:x", "localhost:5000/a", "x", "localhost:5000/a:x"),
        ("Registry.example.org/a.b__c---d/e", "Registry.example.org/a.b__c---d/e", "latest", ""),
        ("[2001:db8::1]:5000/a:1", "[2001:db8::1]:5000/a", "1", "[2001:db8::1]:5000/a:1"),
        ("a:" + "x" * 128, "a", "x" * 128, ""),
    ],
)
def test_names(text: str, name: str, tag: str, full: str) -> None:
    reference = parse_reference(text)
    assert reference == Reference(name, tag)
    assert not full or reference.full == full
    assert parse_reference(str(reference)) == reference
    assert parse_reference(reference.full) == reference


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "a:", ":a", "A", "demo/Debian:1", "a//b", "/a", "a/", "a b", "a:b c", "a.-b"),
        *("-a", "a-", "a___b", "a..b", "a:.x", "a:-x", "a:" + "x" * 129, "http://a/b", "a/b:c/d"),
        *("a@sha256:" + "0" * 64, "0" * 64, "b" * 256, "ex_ample.org:5000/a", "é", "a\n", "a:b\n"),
    ],
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_reference(text)
    assert caught.value.hint
    assert "\n" not in caught.value.what


def test_an_image_has_at_least_one_name_and_each_once() -> None:
    assert parse_references(["a", "a:latest", "b:1"]) == (
        Reference("a", "latest"),
        Reference("b", "1"),
    )
    with pytest.raises(UsageError, match="needs a name"):
        parse_references([])


@given(st.text(alphabet="aA0._-/:@[]", max_size=30))
def test_what_is_a_name_is_the_same_name_when_written_out(text: str) -> None:
    try:
        reference = parse_reference(text)
    except UsageError:
        return
    assert parse_reference(str(reference)) == reference
    assert parse_reference(reference.full) == reference
