"""build-debian as a user runs it: a small signed archive, a real engine, this machine as host."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.support.docker_api import client_of
from tests.support.engine import Engine
from tests.support.needs import lacks_program, needs
from tests.support.program import PROGRAM, Ended, Place
from tests.support.snapshot import snapshot

MODULES = (
    *("packages", "debootstrap", "policy_rc_d", "apt_conf", "directory", "file", "apt_sources"),
    *("slim", "timezone", "locale", "root_account", "hostname", "machine_id", "prune"),
)
HOST_FIELDS = (
    *("host", "ok", "changed", "would_change", "skipped", "failed", "seconds", "round_trips"),
    *("modules", "image", "error"),
)


def inspect(place: Place, name: str = "") -> dict[str, Any]:
    """Return what the engine knows of an image."""
    with client_of(place.docker) as client:
        facts: dict[str, Any] = client.inspect_image(name or place.tag)
    return facts


# --- the first build, and the next


def test_the_first_build_reports_what_it_did(first_build: tuple[Place, Ended]) -> None:
    place, ended = first_build
    report = ended.report
    assert list(report) == ["playbook", "options", "hosts"]
    assert report["playbook"] == "debian"
    assert report["options"]["mirror"] == place.archive.mirror
    assert report["options"]["slim"] is False
    host = ended.host
    assert tuple(host) == HOST_FIELDS
    assert (host["host"], host["error"]) == ("localhost", None)
    assert tuple(module["name"] for module in host["modules"]) == MODULES
    for module in host["modules"]:
        assert tuple(module) == ("name", "state", "seconds", "changes")
        for change in module["changes"]:
            assert tuple(change) == ("resource", "summary", "before", "after", "depends_on")
    assert ended.modules("changed")[0] == "debootstrap"
    assert host["changed"] == len(ended.modules("changed"))
    assert host["changed"] + host["ok"] == len(MODULES)
    assert host["round_trips"] <= 1 + host["changed"]
    image = host["image"]
    assert tuple(image) == ("id", "digest", "size", "tags", "sent_bytes", "state")
    assert (image["tags"], image["state"]) == ([place.tag], "changed")
    assert image["sent_bytes"] > image["size"] * 0.9
    assert "debian on localhost" in ended.stderr
    assert "\x1b" not in ended.stderr
    assert re.search(r"^changed +image .* sent\n", ended.stderr, re.MULTILINE)
    assert place.left() == []
    assert place.listing() == ["lock", "pristine", "tree"]


def test_the_image_is_as_the_playbook_says(first_build: tuple[Place, Ended]) -> None:
    place, ended = first_build
    facts = inspect(place)
    assert facts["Id"] == ended.host["image"]["id"]
    assert facts["RootFS"]["Layers"] == [ended.host["image"]["digest"]]
    assert facts["Config"]["Cmd"] == ["bash"]
    assert "LANG=C.UTF-8" in facts["Config"]["Env"]
    assert facts["Config"]["Labels"]["org.opencontainers.image.version"] == "bookworm"
    with client_of(place.docker) as client:
        history = [entry["CreatedBy"] for entry in client.history(place.tag)]
    told = [line.split("(")[0].split(" ")[0] for line in reversed(history)]
    assert [name.lower().replace("_", "") for name in told] == [
        name.replace("_", "") for name in MODULES[1:]
    ]
    assert "bookworm" in history[-1]
    assert place.images() >= {(facts["Id"], place.tag)}
    assert not any(name.startswith("<none>") for _, name in place.images())


def test_a_container_runs_from_it(first_build: tuple[Place, Ended]) -> None:
    place, _ = first_build
    script = "set -e; cat /etc/hostname; apt-get --version | head -n 1; dpkg --audit; id -un"
    with client_of(place.docker) as client:
        made = client.create_container(place.tag, ["sh", "-c", script], network_disabled=True)
        client.start(made["Id"])
        status = client.wait(made["Id"], timeout=60)["StatusCode"]
        said = client.logs(made["Id"]).decode()
        client.remove_container(made["Id"])
    assert status == 0, said
    assert re.fullmatch(r"\w+\napt [0-9.]+ \(\w+\)\nroot\n", said), said


def test_the_next_run_changes_nothing_and_sends_nothing(first_build: tuple[Place, Ended]) -> None:
    place, first = first_build
    before = snapshot(place.root / "tree")
    images = place.images()
    ended = place.build("--json")
    assert ended.code == 0
    host = ended.host
    assert (host["ok"], host["changed"], host["round_trips"]) == (len(MODULES), 0, 1)
    assert host["image"] == first.host["image"] | {"state": "ok", "sent_bytes": 0}
    assert snapshot(place.root / "tree") == before
    assert place.images() == images
    assert place.left() == []


def test_events_are_told_as_they_happen(built: Place) -> None:
    running = built.start()
    started = running.until("run_started")
    assert (started["playbook"], started["hosts"]) == ("debian", ["localhost"])
    assert running.until("play_started")["modules"] == list(MODULES)
    assert running.until("module_done", name="prune")["state"] == "ok"
    assert running.until("image_done")["sent_bytes"] == 0
    assert running.until("play_done")["error"] is None
    last = running.until("run_done")
    assert last["exit_code"] == 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", last["time"])
    assert running.end().code == 0


@pytest.mark.parametrize("no_color", [False, True])
def test_colours_are_for_a_terminal_that_wants_them(built: Place, no_color: bool) -> None:
    env = built.env | {"TERM": "xterm-256color"} | ({"NO_COLOR": "1"} if no_color else {})
    child: pexpect.spawn[str] = pexpect.spawn(
        PROGRAM[0],
        [*PROGRAM[1:], *built.build_arguments("--check")],
        cwd=str(built.folder),
        env=env,
        encoding="utf-8",
        timeout=60,
    )
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    said = child.before or ""
    assert "debootstrap" in said
    assert bool(re.search(r"\x1b\[[0-9;]*[1-9][0-9;]*m", said)) is not no_color


# --- check and diff


def test_a_check_before_there_is_anything_makes_nothing(place: Place) -> None:
    images = place.images()
    ended = place.build("--check", "--json")
    assert ended.code == 0
    # What the host has is there already; of the image, nothing is.
    assert ended.modules("ok") == ["packages"]
    assert ended.modules("would change") == list(MODULES[1:])
    assert (ended.host["image"], ended.host["changed"]) == (None, 0)
    for module in ended.host["modules"][2:]:
        assert module["changes"], module["name"]
        assert {change["depends_on"] for change in module["changes"]} == {"debootstrap"}
    assert not Path(place.work_dir).exists()
    assert place.images() == images
    assert place.left() == []


def test_a_check_shows_exactly_what_was_edited_and_a_run_repairs_it(
    first_build: tuple[Place, Ended],
) -> None:
    place, first = first_build
    root = place.rootfs
    sources = root / "etc/apt/sources.list.d/debian.sources"
    whole = sources.read_text()
    (root / "etc/hostname").write_text("edited\n")
    (root / "etc/locale.conf").write_text("LANG=fr_FR.UTF-8\n")
    sources.write_text(whole.replace("Components: main", "Components: main contrib"))
    (root / "etc/localtime").unlink()
    (root / "etc/localtime").symlink_to("/usr/share/zoneinfo/Europe/Paris")
    edited = ["apt_sources", "timezone", "locale", "hostname"]
    before = snapshot(place.root)
    images = place.images()

    ended = place.build("--check", "--diff", "--json")
    assert ended.code == 0
    assert ended.modules("would change") == edited
    changes = {m["name"]: m["changes"] for m in ended.host["modules"] if m["changes"]}
    assert [len(found) for found in changes.values()] == [1, 1, 1, 1]
    (change,) = changes["hostname"]
    assert change["resource"] == "file /etc/hostname"
    assert (change["before"], change["after"]) == ("edited\n", "debian\n")
    for line in ("-edited", "+debian", "-LANG=fr_FR.UTF-8", "+LANG=C.UTF-8"):
        assert re.search(rf"^\s*{re.escape(line)}$", ended.stderr, re.MULTILINE), ended.stderr
    shown = re.findall(r"^\s*([-+])(?![-+])", ended.stderr, re.MULTILINE)
    assert shown.count("-") == shown.count("+") == 5
    assert snapshot(place.root) == before
    assert place.images() == images

    ended = place.build("--json")
    assert ended.code == 0
    assert ended.modules("changed") == edited
    assert sources.read_text() == whole
    # Its very bytes are back, so the engine has them already.
    assert ended.host["image"] == first.host["image"] | {"state": "ok", "sent_bytes": 0}


# --- one image ID


@pytest.mark.parametrize("tool", ["mmdebstrap", "debootstrap"])
def test_a_root_made_anew_gives_the_same_id(first_build: tuple[Place, Ended], tool: str) -> None:
    needs(lacks_program(tool, tool))
    place, first = first_build
    shutil.rmtree(place.root / "pristine")  # made, not copied
    odd = ["sh", "-c", 'umask 077; exec "$@"', "sh", *PROGRAM]
    env = {"TZ": "Asia/Tokyo", "LANG": "C", "LC_ALL": "C", "TAR_OPTIONS": "--owner=7"}
    elsewhere = place.folder / f"home-{tool}"
    elsewhere.mkdir()
    arguments = place.build_arguments("--fresh", "--json", "--tool", tool)
    ended = place.run(*arguments, program=odd, HOME=str(elsewhere), **env)
    assert ended.code == 0, ended.stderr
    assert "debootstrap" in ended.modules("changed")
    assert ended.host["image"] == first.host["image"] | {"state": "ok", "sent_bytes": 0}


def test_the_date_that_was_given_is_the_images(built: Place) -> None:
    epoch = 1_600_000_000  # before the archive's
    before = built.images()
    ended = built.build("--json", "--to", "dated.tar", SOURCE_DATE_EPOCH=str(epoch))
    assert ended.code == 0
    with tarfile.open(built.folder / "dated.tar") as archive:
        (manifest,) = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
        config = json.load(archive.extractfile(manifest["Config"]))  # type: ignore[arg-type]
        layer = archive.extractfile(manifest["Layers"][0])
        assert layer
        with tarfile.open(fileobj=io.BytesIO(layer.read())) as members:
            assert max(member.mtime for member in members) == epoch
    assert config["created"] == "2020-09-13T12:26:40Z"
    # A root that was there before and one that is made for the date give the same image.
    anew = built.build("--json", "--fresh", "--to", "dated.tar", SOURCE_DATE_EPOCH=str(epoch))
    assert anew.code == 0
    assert anew.host["image"]["id"] == ended.host["image"]["id"]
    assert built.images() == before


@pytest.mark.parametrize("value", ["yesterday", "99999999999999"])
def test_a_date_that_is_none_is_refused(place: Place, value: str) -> None:
    ended = place.build("--json", SOURCE_DATE_EPOCH=value)
    assert ended.code == 2
    assert "SOURCE_DATE_EPOCH" in ended.stderr
    assert "hint:" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not Path(place.work_dir).exists()


# --- where it goes


def test_without_an_engine_it_goes_into_dist(first_build: tuple[Place, Ended]) -> None:
    place, first = first_build
    ended = place.build("--json", DOCKER_HOST="unix:///nonexistent/docker.sock")
    assert ended.code == 0
    assert "docker load -i dist/debian.tar" in ended.stderr
    assert ended.host["image"]["id"] == first.host["image"]["id"]
    archive = place.folder / "dist/debian.tar"
    assert list(archive.parent.iterdir()) == [archive]
    again = place.build("--json", DOCKER_HOST="unix:///nonexistent/docker.sock")
    assert again.code == 0
    assert (again.host["image"]["state"], again.host["image"]["sent_bytes"]) == ("ok", 0)


def test_skopeo_reads_the_archive(first_build: tuple[Place, Ended]) -> None:
    needs(lacks_program("skopeo", "skopeo"))
    place, first = first_build
    archive = made_archive(place)
    said = subprocess.check_output(["skopeo", "inspect", f"oci-archive:{archive}"], text=True)
    facts = json.loads(said)
    assert facts["Labels"]["org.opencontainers.image.title"] == "Debian"
    config = ["skopeo", "inspect", "--config", f"oci-archive:{archive}"]
    diffs = json.loads(subprocess.check_output(config, text=True))["rootfs"]["diff_ids"]
    assert diffs == [first.host["image"]["digest"]]


def test_podman_reads_the_archive(first_build: tuple[Place, Ended], tmp_path: Path) -> None:
    needs(lacks_program("podman", "podman"))
    place, first = first_build
    # Its runroot must have a short name.
    with tempfile.TemporaryDirectory(prefix="rw-podman-") as short:
        run = ["podman", f"--root={tmp_path}/root", f"--runroot={short}", "--storage-driver=vfs"]
        subprocess.run([*run, "load", "-q", "-i", made_archive(place)], check=True)
        said = subprocess.check_output([*run, "images", "--no-trunc", "--quiet"], text=True)
        subprocess.run([*run, "rmi", "--all"], check=True, stdout=subprocess.DEVNULL)
    assert said.strip() == first.host["image"]["id"]


def test_docker_reads_the_archive(first_build: tuple[Place, Ended], dockerd: Engine) -> None:
    place, first = first_build
    archive = made_archive(place, tag="demo/loaded:1")
    with client_of(dockerd.url) as client, Path(archive).open("rb") as file:
        list(client.load_image(file))
        assert client.inspect_image("demo/loaded:1")["Id"] == first.host["image"]["id"]
        client.remove_image("demo/loaded:1")


def made_archive(place: Place, tag: str = "demo/archived:1") -> str:
    """Return the archive of the built root under a name."""
    path = place.folder / f"{tag.replace('/', '-').replace(':', '-')}.tar"
    if not path.exists():
        place = Place(place.folder, place.archive, place.docker, tag, place.work_dir)
        ended = place.build("--to", path.name)
        assert ended.code == 0, ended.stderr
    return str(path)


def test_several_tags_and_the_hosts_name_in_them(first_build: tuple[Place, Ended]) -> None:
    place, first = first_build
    tags = [place.tag, "example.org:5000/x/y:2", "demo/at-{host}", place.tag]
    ended = place.build("--json", *(word for tag in tags for word in ("--tag", tag)))
    assert ended.code == 0
    wanted = [place.tag, "example.org:5000/x/y:2", "demo/at-localhost:latest"]
    image = ended.host["image"]
    assert (image["id"], image["tags"]) == (first.host["image"]["id"], wanted)
    assert {(image["id"], name) for name in wanted} <= place.images()
    with client_of(place.docker) as client:
        for name in wanted[1:]:
            client.remove_image(name)
