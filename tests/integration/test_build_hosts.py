"""build-debian over SSH: hosts that refuse it, several at once, and a password nobody sees."""

from __future__ import annotations

import json
import re
import subprocess
import time
from dataclasses import replace
from pathlib import Path

from tests.support.accounts import Account
from tests.support.delay_proxy import DelayProxy
from tests.support.docker_api import client_of
from tests.support.program import (
    PATIENCE,
    PROGRAM,
    Ended,
    Place,
    command_lines,
    refused,
)
from tests.support.sshd import Sshd


def test_a_key_that_is_unknown_or_changed(place: Place, sshd: Sshd) -> None:
    far = place.over_ssh(sshd)
    known = place.home / ".ssh/known_hosts"
    right = known.read_text()
    known.write_text("")
    refused(place.build(*far), 3, re.escape(sshd.fingerprint), "--accept-new-host-key")
    other = right.replace(right.split()[-1], right.split()[-1][:-6] + "AAAAAA")
    known.write_text(other)
    for more in ((), ("--accept-new-host-key",)):
        ended = place.build(*far, *more)
        refused(ended, 3, "key", "ssh-keygen -R")
    assert known.read_text() == other
    assert not Path(place.work_dir).exists()
    known.write_text("")
    ended = place.build(*far, "--accept-new-host-key", "--check", "--json")
    assert (ended.code, ended.host["round_trips"]) == (0, 1)
    for task in ("doctor", "clean"):
        known.write_text("")
        words = (task, *far, "--work-dir", place.work_dir)
        refused(place.run(*words), 3, re.escape(sshd.fingerprint), "--accept-new-host-key")
        assert place.run(*words, "--accept-new-host-key").code == 0


def test_hosts_that_let_nobody_build(
    place: Place, sshd: Sshd, guest: Account, careful: Account
) -> None:
    images = place.images()
    with DelayProxy(9) as nobody:
        refused(place.build(*place.over_ssh(sshd, nobody.port)), 3, "reached|reset|banner|refuse")
    refused(place.build(*place.over_ssh(sshd, user=guest.name)), 3, "sudo|root")
    strict = place.over_ssh(sshd, user=careful.name)
    ended = place.build(*strict, ROOTWRIGHT_SUDO_PASSWORD="wrong")
    refused(ended, 3, "sudo does not accept the password", "ROOTWRIGHT_SUDO_PASSWORD")
    refused(place.build(*strict), 3, "password")  # and nobody there to ask
    assert not Path(place.work_dir).exists()
    assert place.left() == []
    assert place.images() == images


def test_the_sudo_password_is_seen_nowhere(place: Place, sshd: Sshd, careful: Account) -> None:
    tag = place.tag
    place = replace(place, env={"ROOTWRIGHT_SUDO_PASSWORD": careful.password})
    strict = place.over_ssh(sshd, user=careful.name)
    events = place.folder / "events"
    argv = place.build_arguments("--json", "--verbose", "--events", str(events), *strict)
    output = place.folder / "output"
    looked = 0
    with (
        output.open("w") as file,
        subprocess.Popen(
            [*PROGRAM, *argv],
            cwd=place.folder,
            env=place.env,
            stdout=file,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            end = time.monotonic() + PATIENCE
            while process.poll() is None:
                assert time.monotonic() < end
                looked += 1
                assert not [line for line in command_lines().values() if careful.password in line]
        finally:
            process.kill()
    said = output.read_text()
    assert process.returncode == 0, said
    # A whole build, its bootstrap included, was watched.
    assert re.search(r"^changed +debootstrap ", said, re.MULTILINE), said
    assert looked > 50
    assert careful.password not in said + events.read_text()
    with client_of(place.docker) as client:
        facts = json.dumps([client.inspect_image(tag), client.history(tag)])
        client.remove_image(tag)
    assert careful.password not in facts
    grep = ["grep", "-rlF", careful.password, str(place.root)]
    assert subprocess.run(grep, stdout=subprocess.PIPE, text=True).stdout == ""


def test_one_host_that_fails_does_not_keep_the_other_from_its_image(
    first_build: tuple[Place, Ended], sshd: Sshd
) -> None:
    place, first = first_build
    with DelayProxy(9) as nobody:
        options = (*place.over_ssh(sshd, nobody.port), "--host", "localhost", "--json")
        # Nothing is begun while two would ship to one name.
        refused(
            place.build(*options), 2, f"far and localhost would both ship to {place.tag}", "{host}"
        )
        assert nobody.counts().connections == 0
        ended = place.build(*options, "--tag", "demo/at-{host}:1")
    refused(ended, 3, "far")
    lost, done = ended.report["hosts"]
    assert (lost["host"], lost["image"], lost["error"]["type"]) == ("far", None, "HostError")
    assert (done["host"], done["error"]) == ("localhost", None)
    assert done["image"]["tags"] == ["demo/at-localhost:1"]
    assert done["image"]["id"] == first.host["image"]["id"]
    with client_of(place.docker) as client:
        client.remove_image("demo/at-localhost:1")
