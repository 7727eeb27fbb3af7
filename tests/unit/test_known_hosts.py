"""Lines of known_hosts, read as OpenSSH reads them."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from rootwright.hosts.known_hosts import lines_about
from tests.support.needs import lacks_program, needs
from tests.support.sshd import new_key

PATTERNS = [
    "a.example.org",
    "A.Example.ORG",
    "*.example.org",
    "?.example.org",
    "*",
    "b.example.org,a.example.org",
    "*.example.org,!a.example.org",
    "!a.example.org,*",
    "!b.example.org,*",
    "!a.example.org",
    "[a.example.org]:2222",
    "[*.example.org]:2222",
    "[a.example.org]:*",
    "*:2222",
    "[ab].example.org",
    "a.example",
    "192.0.2.*",
    "a**g",
]


@pytest.mark.parametrize("marker", ["", "@revoked ", "@cert-authority "])
@pytest.mark.parametrize(
    "name", ["a.example.org", "[a.example.org]:2222", "192.0.2.7", "2001:db8::7", "alias"]
)
def test_patterns_mean_what_they_mean_to_openssh(tmp_path: Path, name: str, marker: str) -> None:
    needs(lacks_program("ssh-keygen", "openssh-client"))
    keys = [new_key(tmp_path / f"key{number}") for number in range(len(PATTERNS))]
    text = "".join(f"{marker}{p} {key} me@here\n" for p, key in zip(PATTERNS, keys, strict=True))
    known = tmp_path / "known_hosts"
    known.write_text(text)
    argv = ["ssh-keygen", "-F", name, "-f", str(known)]
    said = subprocess.run(argv, stdout=subprocess.PIPE, text=True).stdout
    theirs = [line.split()[-2] for line in said.splitlines() if not line.startswith("#")]
    ours = list(lines_about(text, name))
    assert [base64.b64encode(line.blob).decode() for line in ours] == theirs
    assert {line.marker for line in ours} == ({marker.strip()} if theirs else set())
    assert {line.kind for line in ours} <= {"ssh-ed25519"}


def test_hashed_names_are_found(tmp_path: Path) -> None:
    needs(lacks_program("ssh-keygen", "openssh-client"))
    key = new_key(tmp_path / "key")
    known = tmp_path / "known_hosts"
    known.write_text(f"[a.example.org]:2222 {key}\nb.example.org {key}\n")
    subprocess.run(["ssh-keygen", "-H", "-f", str(known)], check=True, capture_output=True)
    first, second = known.read_text().splitlines()
    text = f"{first}\n@revoked {second}\n"
    assert "example" not in text
    for name, marker in (("[A.example.org]:2222", ""), ("b.example.org", "@revoked")):
        assert [line.marker for line in lines_about(text, name)] == [marker]
    assert list(lines_about(text, "a.example.org")) == []


@pytest.mark.parametrize(
    "line",
    [
        "",
        "a",
        "a ssh-ed25519",
        "#a {key}",
        "# a {key}",
        "@unheard a {key}",
        "@revoked {key}",
        "a ssh-rsa {blob}",
        "a ssh-ed25519 {blob}!",
        "a ssh-ed25519 AAAA",
        "a\ufffd {key}",
        "|1|x|y {key}",
        "|1| {key}",
        "|1|é|é {key}",
    ],
)
def test_a_line_that_makes_no_sense_hides_no_other(tmp_path: Path, line: str) -> None:
    key = new_key(tmp_path / "key")
    text = f"{line.format(key=key, blob=key.split()[1])}\n  a\t{key}  comment"
    assert [found.marker for found in lines_about(text, "a")] == [""]
