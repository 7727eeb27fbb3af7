"""The tasks around the builds, and what a command line, an inventory or a host may have wrong."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.books import program_with
from tests.support.delay_proxy import DelayProxy
from tests.support.disk import small_disk
from tests.support.engine import Engine
from tests.support.needs import lacks_program, lacks_root, needs
from tests.support.program import PROGRAM, REPOSITORY, Ended, Place, refused

NOBODY = "unix:///nonexistent/docker.sock"


@pytest.fixture(scope="module", autouse=True)
def installing(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """An environment, and the installation of this tree into it, begun before it is needed."""
    folder = tmp_path_factory.mktemp("installed")
    ignored = shutil.ignore_patterns(".git", ".venv", "*.egg-info", "build", "dist", "*cache*")
    shutil.copytree(REPOSITORY, folder / "source", symlinks=True, ignore=ignored)
    script = '"$0" -m venv venv && exec venv/bin/pip install --quiet ./source'
    with subprocess.Popen(
        ["sh", "-c", script, sys.executable],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        yield folder / "venv", process
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def here(place: Place) -> Place:
    """A place without an engine, and where nothing was built."""
    return replace(place, docker=NOBODY, env={})


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interrupt_that_comes_when_all_is_done_changes_nothing(here: Place, name: str) -> None:
    late = f"""\
import atexit, builtins, os, runpy, signal, sys

class Last:
    def __del__(self, kill=os.kill, pid=os.getpid(), number=signal.{name}):
        kill(pid, number)

# The interpreter forgets handlers before it forgets what it consists of.
builtins.last = Last()
atexit.register(os.kill, os.getpid(), signal.{name})
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    ended = here.run("modules", program=(sys.executable, "-c", late, PROGRAM[1]))
    assert (ended.code, ended.stderr) == (0, "")


# --- what a command line may have wrong


@pytest.mark.parametrize(
    ("arguments", "said", "hint"),
    [
        ("build-debain", "no task 'build-debain'", "did you mean build-debian"),
        ("build-debian --suit bookworm", "has no option --suit", "did you mean --suite"),
        ("build-debian --mirror", "--mirror needs a value", "--help"),
        ("build-debian --suite a --suite b", "--suite was given twice", "once"),
        ("build-debian --slim perhaps", "slim cannot be 'perhaps'", "true or false"),
        ("build-debian --tool apt", "tool cannot be 'apt'", "auto, mmdebstrap, debootstrap"),
        ("build-debian --host nowhere", "called nowhere", r"\[hosts.nowhere\]"),
        ("build-debian --mirror sample", "for Arch only", "build-arch"),
        ("build-arch --mirror sample,http://other", "stands alone", "without further mirrors"),
        ("build-debian-host --tag demo/host:1", "has no option --tag", "--help"),
        ("build-arch-host --fresh", "has no option --fresh", "--help"),
        ("build-debian --inventory nowhere.toml", "no such inventory", "a file that exists"),
        ("build-debian --tag Upper/Case", "upper-case", "upper/case"),
        ("build-debian --tag a:b:c", "not an image name", "hint"),
        ("build-debian --to ftp://there", "no place an image can go to", "docker"),
        ("build-debian --to docker://there", "not a socket's path", "absolute"),
        ("build-debian --work-dir ..", "cannot be a work dir", "absolute"),
        ("build-debian --work-dir /etc/../srv/x", "cannot be a work dir", "absolute"),
        ("build-debian --work-dir /", "cannot be a work dir", "absolute"),
        ("build-debian --events /nowhere/file", "cannot write the events", "folder that exists"),
        ("modules nowhere", "no module 'nowhere'", "locale"),
        ("clean --work-dir relative", "cannot be a work dir", "absolute"),
        ("-D many --list", "an option cannot take this", "--help"),
    ],
)
def test_a_command_line_that_makes_no_sense(
    here: Place, arguments: str, said: str, hint: str
) -> None:
    ended = here.run(*arguments.split())
    refused(ended, 2, said, f"hint: .*{hint}|{hint}")
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) <= 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[hosts.a]\nadress = '192.0.2.1'", "hosts.a.*adress|adress"),
        ("[hosts.a]\nport = 'many'", "port"),
        ("[groups.g]\nhosts = ['b']", "groups.g"),
        ("[all]\nmirorr = 'http://example.org'", "mirorr"),
        ("[all]\nslim = 'perhaps'", "slim cannot be 'perhaps'"),
        ("[all]\npackages = 7", "packages cannot be 7"),
        ("[hosts", "TOML|toml|line"),
    ],
)
def test_an_inventory_that_makes_no_sense(here: Place, text: str, said: str) -> None:
    (here.folder / "inventory").mkdir()
    (here.folder / "inventory/hosts.toml").write_text(text)
    ended = here.run("build-debian")
    refused(ended, 2, said, "inventory/hosts.toml")
    assert not Path(here.work_dir).exists()


def test_variables_come_from_all_then_groups_then_the_host_then_the_command_line(
    here: Place,
) -> None:
    (here.folder / "mine.toml").write_text(
        "[all]\nlang = 'C'\ntimezone = 'Europe/Paris'\nslim = true\nlocales = ['fr_FR.UTF-8']\n"
        "[groups.g]\nhosts = ['localhost']\nvars = { timezone = 'Asia/Tokyo', lang = 'POSIX' }\n"
        "[hosts.localhost]\nvars = { lang = 'C.UTF-8', packages = ['hello'] }\n"
    )
    inventory = ("--inventory", "mine.toml")
    ended = here.run("hosts", *inventory)
    assert ended.code == 0
    assert re.search(r"^localhost +this machine .*timezone=Asia/Tokyo", ended.stdout, re.MULTILINE)
    assert re.search(r"^g +group of localhost$", ended.stdout, re.MULTILINE)
    ended = here.build(*inventory, "--host", "g", "--check", "--json", "--slim", "no")
    assert ended.code == 0, ended.stderr
    options = ended.report["options"]
    assert (options["lang"], options["timezone"]) == ("C.UTF-8", "Asia/Tokyo")
    assert (options["slim"], options["packages"]) == (False, ["hello"])
    assert options["locales"] == ["fr_FR.UTF-8"]


# --- what there is


def test_what_there_is_can_be_listed(here: Place) -> None:
    ended = here.run("--list")
    assert ended.code == 0
    for task in ("build-debian", "playbooks", "modules", "hosts", "doctor", "clean", "test"):
        assert re.search(rf"^  {task} ", ended.stdout, re.MULTILINE)
    ended = here.run("--help", "build-debian")
    assert re.search(
        r"--timezone\S* +a name of the tz database \(default:\s+Etc/UTC\)", ended.stdout
    )
    assert re.search(r"--host\S* +a host or group of the inventory", ended.stdout)
    ended = here.run("playbooks")
    assert "debian: Debian, from its own archive" in ended.stdout
    assert "--timezone: a name of the tz database" in ended.stdout
    ended = here.run("modules")
    assert re.search(r"^timezone +Set the time zone\.$", ended.stdout, re.MULTILINE)
    ended = here.run("modules", "timezone")
    assert "zone: a name of the tz database" in ended.stdout
    assert ended.code == 0


def test_a_benchmark_is_named_without_an_option(here: Place) -> None:
    needs(lacks_root())
    ended = here.run("bench", "debain")
    refused(ended, 2, "no benchmark 'debain'", "debian")
    ended = here.run("bench", "list", "--runs", "0")
    refused(ended, 2, "at least once", "--runs")


def test_a_reader_that_goes_away_is_no_error_to_shout_about(here: Place) -> None:
    command = [*PROGRAM, "--list"]
    process = subprocess.Popen(
        command, cwd=here.folder, env=here.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout
    process.stdout.close()
    assert process.communicate()[1] == b""
    assert process.returncode == 1


@pytest.mark.parametrize("words", ["playbooks", "hosts", "build-debian --check --json"])
def test_output_that_cannot_be_written_is_said(here: Place, words: str) -> None:
    argv = here.build_arguments(*words.split()[1:]) if "build" in words else [words]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*PROGRAM, *argv], cwd=here.folder, env=here.env, stdout=full, stderr=subprocess.PIPE
        )
    said = done.stderr.decode()
    refused(Ended(done.returncode, "", said), 1, "cannot write the output: No space left", "hint:")
    assert "Exception ignored" not in said


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("tag: str = ''", "'tag' of playbook wrong is one every playbook has"),
        ("text='x'", "an option cannot be of type None"),
        ("text: str | int = ''", "an option cannot be of type"),
        ("text: dict[str, int] = {}", "an option cannot be of type"),
        ("text: str", "an option needs a default"),
    ],
)
def test_a_playbook_that_is_none_is_refused(tmp_path: Path, option: str, said: str) -> None:
    (tmp_path / "wrong.py").write_text(
        "from rootwright.playbook import Recipe, playbook\n\n"
        f"@playbook()\ndef wrong(host, *, {option}) -> Recipe:\n    return Recipe()\n"
    )
    command = [*program_with(tmp_path), "--list"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    refused(Ended(done.returncode, done.stdout, done.stderr), 2, said)


def test_the_stock_invoke_command_works_in_a_checkout() -> None:
    command = [sys.executable, "-m", "invoke", "--list"]
    said = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert said.returncode == 0
    assert "build-debian" in said.stdout


# --- doctor


def test_doctor_says_what_there_is(place: Place, dockerd: Engine) -> None:
    ended = place.run("doctor", "--work-dir", place.work_dir)
    assert ended.code == 0
    for line in (
        r"^localhost:$",
        r"^  ok    privilege: root$",
        r"^  ok    GNU tar: tar \(GNU tar\) [0-9.]+",
        r"^  ok    disk space: [0-9.]+ GiB free$",
        r"^  ok    clock: [-+]\d+ s$",
        r"^  for debian:$",
        r"^  ok      mmdebstrap: mmdebstrap [0-9.]+$",
        r"^  for arch:\n  ok      pacstrap: /",
        r"^  ok      gpg: gpg .*[0-9.]+$",
        r"^  ok    Docker engine: [0-9.]+",
    ):
        assert re.search(line, ended.stdout, re.MULTILINE), (line, ended.stdout)
    assert "lack" not in ended.stdout
    assert not Path(place.work_dir).exists()


def test_doctor_says_what_is_missing_and_a_build_says_it_at_once(here: Place) -> None:
    needs(lacks_root())
    path = without(here.folder / "bin", "mmdebstrap", "pacman")
    (here.folder / "bin/tar").unlink()
    (here.folder / "bin/tar").write_text("#!/bin/sh\necho 'tar (other) 1'\n")
    (here.folder / "bin/tar").chmod(0o755)
    with small_disk(Path(here.work_dir), 50):
        ended = here.run("doctor", "--work-dir", here.work_dir, PATH=path)
        refused(ended, 1, "tar is not GNU tar", "apt-get install tar")
        for line in (
            r"^  lack  GNU tar: tar is not GNU tar\n        mend: apt-get install tar$",
            r"^  lack  disk space: only \d+ MiB are free .*\n        mend: free some",
            r"^  lack    mmdebstrap: mmdebstrap is missing\n +mend: apt-get install mmdebstrap",
            r"^  lack    pacman: pacman is missing\n +mend: .*-manager +\(Arch: .* pacman\)",
            r"^  lack  Docker engine: no Docker engine answers at .*nonexistent",
        ):
            assert re.search(line, ended.stdout, re.MULTILINE), (line, ended.stdout)
        ended = here.build(PATH=path)
        refused(ended, 1, "tar is not GNU tar", "apt-get install tar")
        assert here.listing() == ["lock"]


def without(folder: Path, *programs: str) -> str:
    """Return a PATH with every program of the machine but some."""
    folder.mkdir()
    for place in ("/usr/sbin", "/usr/bin", "/sbin", "/bin"):
        for program in Path(place).iterdir():
            link = folder / program.name
            if program.name not in programs and not link.is_symlink():
                link.symlink_to(program)
    return str(folder)


def test_doctor_says_that_a_host_is_down(here: Place) -> None:
    with DelayProxy(9) as nobody:
        (here.folder / "far.toml").write_text(
            f"[hosts.far]\naddress = '127.0.0.1'\nport = {nobody.port}\n"
        )
        ended = here.run(
            "doctor", "--inventory", "far.toml", "--host", "far", "--host", "localhost"
        )
    refused(ended, 3, "far")
    assert re.search(r"^far:\n  lack  session: ", ended.stdout, re.MULTILINE)
    # The engine is no reason to look no further.
    ended = here.run("doctor", DOCKER_HOST="", DOCKER_CONTEXT="nowhere")
    assert re.search(
        r"^  lack  Docker engine: the Docker context .*\n +mend: docker context ls",
        ended.stdout,
        re.MULTILINE,
    )
    assert re.search(r"^localhost:\n  ok    privilege", ended.stdout, re.MULTILINE)


# --- clean


@pytest.fixture
def dirty(here: Place, built: Place) -> Place:
    """A place where a root and an archive were made."""
    copy = ["cp", "-a", "--reflink=auto", built.work_dir, here.work_dir]
    subprocess.run(copy, check=True)
    ended = here.build()
    assert ended.code == 0, ended.stderr
    return here


def test_clean_removes_what_was_made_and_nothing_else(dirty: Place, built: Place) -> None:
    dist = dirty.folder / "dist"
    (dist / ".debian.tar.0123abcd.part").write_bytes(b"unfinished")
    (dist / "notes.tar").write_bytes(b"mine\n")
    (dist / "linked.tar").symlink_to(dist / "debian.tar")
    kept = {dist / "notes.tar", dist / "linked.tar"}
    if not lacks_program("skopeo", "skopeo"):
        kept.add(dist / "foreign.tar")
        copy = ["skopeo", "copy", "--quiet", "oci-archive:debian.tar", "oci-archive:foreign.tar"]
        subprocess.run(copy, cwd=dist, check=True)
    Path(dirty.work_dir, "other").mkdir()
    Path(dirty.work_dir, "other/file").write_text("mine\n")
    Path(dirty.work_dir, "empty").mkdir()
    # What no playbook of ours can be called, though it has a lock.
    Path(dirty.work_dir, "not-ours").mkdir()
    Path(dirty.work_dir, "not-ours/lock").touch()
    ended = dirty.run("clean", "--work-dir", dirty.work_dir)
    assert ended.code == 0, ended.stderr
    assert f"localhost: removed {dirty.root}\n" in ended.stdout
    assert "removed dist/debian.tar\n" in ended.stdout
    assert set(dist.iterdir()) == kept
    kept_folders = {path.name for path in Path(dirty.work_dir).iterdir()}
    assert kept_folders == {"empty", "other", "not-ours"}
    assert built.rootfs.is_dir()
    # Again there is nothing to do.
    ended = dirty.run("clean", "--work-dir", dirty.work_dir)
    assert (ended.code, ended.stdout, ended.stderr) == (0, "", "")


def test_clean_never_follows_a_mount(dirty: Place) -> None:
    precious = dirty.folder / "precious"
    precious.mkdir()
    (precious / "file").write_text("mine\n")
    target = dirty.rootfs / "media"
    target.mkdir(exist_ok=True)
    subprocess.run(["mount", "--bind", str(precious), str(target)], check=True)
    try:
        ended = dirty.run("clean", "--work-dir", dirty.work_dir)
        refused(ended, 1, f"something is mounted at {target}", "unmount it")
        assert (precious / "file").read_text() == "mine\n"
        assert (dirty.rootfs / "etc/hostname").exists()
    finally:
        subprocess.run(["umount", str(target)], check=True)
    assert dirty.run("clean", "--work-dir", dirty.work_dir).code == 0
    assert not dirty.root.exists()
    assert (precious / "file").read_text() == "mine\n"


def test_clean_says_which_archive_it_cannot_remove(dirty: Place) -> None:
    archive = str(dirty.folder / "dist/debian.tar")
    # Not even root can.
    subprocess.run(["mount", "--bind", archive, archive], check=True)
    try:
        ended = dirty.run("clean", "--work-dir", dirty.work_dir)
    finally:
        subprocess.run(["umount", archive], check=True)
    refused(ended, 1, "cannot remove it: Device or resource busy", "dist/debian.tar")
    assert f"localhost: removed {dirty.root}\n" in ended.stdout


@pytest.mark.parametrize(
    ("kind", "foreign"),
    [
        ("a file too many", "thesis.txt"),
        ("a download", "film.mkv.part"),
        ("a lock of somebody else's", "lock"),
        ("a link", "lock"),
        ("held", ""),
    ],
)
def test_clean_refuses_what_it_did_not_make(here: Place, kind: str, foreign: str) -> None:
    (here.root / "tree/rootfs").mkdir(parents=True)
    (here.root / "tree/rootfs/file").write_text("mine\n")
    (here.root / "tree/tmp").mkdir()
    (here.root / "tree/tmp/file").write_text("mine\n")
    (here.root / "lock").touch()
    hidden = Path(here.work_dir) / ".host/mine"
    hidden.parent.mkdir()
    hidden.write_text("mine\n")
    code, said = 1, f"holds {foreign}, which is not ours"
    holder = None
    if kind == "a lock of somebody else's":
        (here.root / "lock").write_text("mine\n")
    elif kind == "a link":
        (here.root / "lock").unlink()
        (here.root / "lock").symlink_to(here.folder / "elsewhere")
        (here.folder / "elsewhere").write_text("mine\n")
    elif foreign:
        (here.root / foreign).write_text("mine\n")
    else:
        holder = subprocess.Popen(["flock", str(here.root / "lock"), "sleep", "60"])
        code, said = 3, "held by another play"
    before = {p: p.is_file() and p.read_text() for p in Path(here.work_dir).rglob("*")}
    try:
        ended = here.run("clean", "--work-dir", here.work_dir)
    finally:
        if holder:
            holder.kill()
            holder.wait()
    refused(ended, code, said)
    # Not only what was named: nothing at all was touched.
    assert {p: p.is_file() and p.read_text() for p in Path(here.work_dir).rglob("*")} == before
    assert (here.root / "tree/rootfs/file").read_text() == "mine\n"


# --- installed


def test_an_installed_copy_is_the_same_program(
    first_build: tuple[Place, Ended],
    installing: tuple[Path, subprocess.Popen[str]],
    tmp_path: Path,
) -> None:
    place, first = first_build
    environment, process = installing
    said = process.communicate(timeout=300)[0]
    if process.returncode:
        if re.search("connection|resolve|No matching distribution|index", said, re.IGNORECASE):
            pytest.skip(f"pip reaches no package index: {said.strip().splitlines()[-1]}")
        pytest.fail(said)
    program = [str(environment / "bin/rootwright")]
    (tmp_path / "elsewhere").mkdir()
    other = replace(place, folder=tmp_path / "elsewhere", env={})
    ended = other.run(*place.build_arguments("--json"), program=program)
    assert ended.code == 0, ended.stderr
    assert ended.host["image"] == first.host["image"] | {"state": "ok", "sent_bytes": 0}
    ended = other.run("modules", program=program)
    assert "timezone" in ended.stdout
    refused(other.run("build-debian", "--nope", program=program), 2, "no option --nope")
    assert json.loads(other.build("--check", "--json").stdout)["playbook"] == "debian"
