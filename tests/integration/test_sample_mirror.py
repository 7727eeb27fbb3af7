"""The sample mirror, with the real pacman, pacstrap, pacman-key, apt and sshd.

What is installed from it is used inside a chroot in a mount and PID namespace of its own, so
that nothing mounted or started there outlives its test.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rootwright.sample_mirror import Faults, SampleMirror, Server, build, faults, serve
from rootwright.sample_mirror import keys as sample_keys
from rootwright.sample_mirror.packages import BASE, GROUP, IGNORED

TOOLS = ("apt-get", "bsdtar", "gpg", "pacman", "pacstrap", "repo-add", "ssh", "unshare", "zstd")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or bool(MISSING), reason=f"needs root and {', '.join(MISSING) or 'tools'}"
)

NAMESPACE = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]

# What a container runtime would mount; a pacman in it can look at the disk's free space.
ENTER = """
set -e
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount -t tmpfs tmpfs "$1/dev"
mkdir "$1/dev/pts" "$1/dev/shm"
mount -t devpts devpts "$1/dev/pts"
for node in null zero full random urandom tty; do
    : >"$1/dev/$node"
    mount --bind "/dev/$node" "$1/dev/$node"
done
ln -s /proc/self/fd "$1/dev/fd"
ln -s pts/ptmx "$1/dev/ptmx"
exec chroot "$1" /usr/bin/env -i PATH=/usr/bin HOME=/root LC_ALL=C.UTF-8 sh -ec "$2"
"""


def run(
    *argv: str | Path, rc: int | None = 0, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a command, its two outputs in one; it must end with `rc`, unless that is None."""
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        check=False,
    )
    assert rc is None or done.returncode == rc, done.stdout
    return done


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sample")


@pytest.fixture(scope="module")
def sample(cache: Path) -> SampleMirror:
    return build(cache)


@pytest.fixture(scope="module")
def grouped(cache: Path) -> SampleMirror:
    return build(cache, base_as="group")


@pytest.fixture(scope="module")
def trust(sample: SampleMirror, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A GPGDir that trusts what the mirror's keyring says, made as pacman-key makes one."""
    home = tmp_path_factory.mktemp("g")
    home.chmod(0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--no-tty", "--quiet"]
    run("pacman-key", "--config", "/dev/null", "--gpgdir", home, "--init")
    run(*gpg, "--import", sample.keyring / "archlinux.gpg")
    for line in (sample.keyring / "archlinux-trusted").read_text().splitlines():
        fingerprint = line.split(":")[0]
        run("pacman-key", "--config", "/dev/null", "--gpgdir", home, "--lsign-key", fingerprint)
    run(*gpg, "--import-ownertrust", sample.keyring / "archlinux-trusted")
    for fingerprint in (sample.keyring / "archlinux-revoked").read_text().split():
        command = shlex.join([*gpg, "--command-fd", "0", "--edit-key", fingerprint])
        run("sh", "-c", f"printf 'disable\\nquit\\n' | {command}")
    run(*gpg, "--check-trustdb")
    yield home
    run("gpgconf", "--homedir", home, "--kill", "all")


def configuration(folder: Path, server: str, trust: Path) -> Path:
    """Write a pacman.conf of its own that takes only signed packages from `server`."""
    (folder / "cache").mkdir(exist_ok=True)
    path = folder / "pacman.conf"
    path.write_text(
        "[options]\nArchitecture = auto\nSigLevel = Required\n"
        f"GPGDir = {trust}\nCacheDir = {folder}/cache\nLogFile = {folder}/log\n"
        f"[core]\nServer = {server}\n[extra]\nServer = {server}\n"
    )
    return path


def pacstrap(folder: Path, mirror: SampleMirror, trust: Path, *packages: str) -> Path:
    """Install into a new root with the real pacstrap, and return the root."""
    root = folder / "root"
    root.mkdir()
    conf = configuration(folder, mirror.server, trust)
    run(*NAMESPACE, "pacstrap", "-C", conf, "-c", "-G", "-M", root, *packages)
    return root


@dataclass(frozen=True)
class Root:
    """A root made from the mirror, and the server that its mirrorlist names."""

    path: Path
    server: Server

    def sh(self, script: str, rc: int | None = 0) -> str:
        """Run a script in the root and return what it printed."""
        argv = [*NAMESPACE, "sh", "-c", ENTER, "enter", str(self.path), script]
        return run(*argv, rc=rc).stdout


@pytest.fixture(scope="module")
def root(
    sample: SampleMirror, trust: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Root]:
    """A root of base whose own pacman is ready for use, and has the mirror over HTTP."""
    path = pacstrap(tmp_path_factory.mktemp("strap"), sample, trust, "base")
    with serve(sample.served) as server:
        (path / "etc/pacman.d/mirrorlist").write_text(f"Server = {server.mirror}\n")
        made = Root(path, server)
        made.sh(
            "pacman-key --init && pacman-key --populate archlinux\n"
            "gpgconf --homedir /etc/pacman.d/gnupg --kill all"
        )
        yield made


def installed(root: Path) -> list[str]:
    """Return the names of the packages that pacman finds in a root."""
    return run("pacman", "--root", root, "-Qq").stdout.split()


# The mirror itself.


def test_a_mirror_that_is_there_is_not_made_again(sample: SampleMirror, cache: Path) -> None:
    said: list[str] = []
    before = sample.path("bash").stat()
    assert build(cache, say=said.append) == sample
    assert said == []
    assert sample.path("bash").stat().st_ino == before.st_ino


def test_a_mirror_with_a_package_lost_is_mended(sample: SampleMirror, cache: Path) -> None:
    lost = sample.path("nano")
    contents = lost.read_bytes()
    lost.unlink()
    assert build(cache) == sample
    assert lost.read_bytes() == contents


def test_when_apts_lists_change_and_nothing_in_them_does_nothing_is_made(
    sample: SampleMirror, cache: Path
) -> None:
    manifest = sample.folder / "manifest.json"
    record = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**record, "lists": "of yesterday"}))
    said: list[str] = []
    assert build(cache, say=said.append) == sample
    assert said == ["asking apt what Debian offers"]
    assert json.loads(manifest.read_text()) == record


def test_private_keys_are_private_and_not_served(
    sample: SampleMirror, cache: Path, tmp_path: Path
) -> None:
    keys = cache / "keys"
    assert not sample.served.is_relative_to(keys)
    assert not keys.is_relative_to(sample.served)
    assert keys.stat().st_mode & 0o777 == 0o700
    assert list((keys / "private-keys-v1.d").iterdir())
    for path in keys.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    served = {path.name for path in sample.served.rglob("*") if path.is_file()}
    assert {name.split(".")[-1] for name in served} <= {"zst", "sig", "db", "files", "gz"}
    assert sorted(path.name for path in sample.keyring.iterdir()) == sorted(sample_keys.FILES)
    gpg = ("gpg", "--homedir", tmp_path, "--show-keys", "--with-colons")
    shown = run(*gpg, sample.keyring / "archlinux.gpg").stdout
    assert "\nsec:" not in f"\n{shown}"


def _agents() -> list[bytes]:
    """Return the command lines of the agents that builders of mirrors have started."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended while we looked
            words = process.read_bytes().split(b"\0")
            if words[0].endswith(b"gpg-agent") and b"rw-keys-" in b" ".join(words):
                found.append(b" ".join(words))
    return found


def test_no_agent_outlives_the_build(sample: SampleMirror, cache: Path) -> None:
    # Another worker may be building one; an agent that was left behind would stay for good.
    deadline = time.monotonic() + 90
    while (agents := _agents()) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not agents
    assert not [path for path in (cache / "keys").iterdir() if path.is_socket()]


def files_of(mirror: SampleMirror, repo: str) -> Iterator[tuple[str, str]]:
    """Yield package and path for every file that a repository's packages bring."""
    with tarfile.open(mirror.directory(repo) / f"{repo}.files") as archive:
        for member in archive:
            stream = archive.extractfile(member)
            if member.name.endswith("/files") and stream:
                for line in stream.read().decode().splitlines()[1:]:
                    if not line.endswith("/"):
                        yield member.name.split("/")[0], line


def test_no_two_packages_bring_the_same_file(sample: SampleMirror) -> None:
    owner: dict[str, str] = {}
    for repo in ("core", "extra"):
        for package, path in files_of(sample, repo):
            assert owner.setdefault(path, package) == package, path
            assert path.startswith(("etc/", "usr/", "var/", "srv/")) or package.startswith(
                "filesystem-"
            ), path


def test_the_articles_ignore_list_is_there(sample: SampleMirror, grouped: SampleMirror) -> None:
    for mirror in (sample, grouped):
        assert set(IGNORED) <= set(mirror.packages)
        assert mirror.packages["nano"].repo == "extra"
        assert "nano" not in mirror.closure(["base"])
    assert "base" not in grouped.packages
    assert {p.name for p in grouped.packages.values() if "base" in p.groups} == set(GROUP)
    assert set(sample.packages["base"].depends) == set(BASE)


# Installing from it.


def test_base_as_a_package_brings_its_closure(sample: SampleMirror, root: Root) -> None:
    assert set(sample.closure(["base"])) <= set(installed(root.path))


def test_base_as_a_group_brings_its_members(
    grouped: SampleMirror, trust: Path, tmp_path: Path
) -> None:
    path = pacstrap(tmp_path, grouped, trust, "base")
    assert installed(path) == grouped.closure(["base"])
    run("pacman", "--root", path, "-Dk")
    found = run("pacman", "--root", path, "-Qqk").stdout
    assert found == ""


def test_what_is_installed_is_whole(root: Root) -> None:
    assert root.sh("pacman -Qqk") == ""
    assert "No database errors" in root.sh("pacman -Dk")
    # Modes, sizes and digests of every file: what differs is what a system changes in use.
    for line in root.sh("pacman -Qkk 2>&1", rc=None).splitlines():
        if line.startswith(("warning: ", "backup file: ")):
            path = line.split(": ", 2)[2].split(" ")[0]
            kept = ("/etc/group", "/etc/gshadow", "/etc/passwd", "/etc/shadow", "/etc/locale.gen")
            assert path in (*kept, "/etc/pacman.d/mirrorlist", "/dev", "/run", "/proc"), line


def test_every_program_finds_its_libraries(root: Root) -> None:
    script = """
    for program in /usr/bin/*; do
        ldd "$program" 2>/dev/null | grep -q 'not found' && echo "$program"
    done
    :
    """
    assert root.sh(script) == ""


def test_the_root_says_what_it_is(root: Root) -> None:
    release = root.sh("cat /etc/os-release /etc/arch-release")
    assert "ID=arch\n" in release
    assert "a stand-in made of Debian's packages" in release
    assert root.sh("date +%Z; getcap /usr/bin/ping; passwd -S root").splitlines() == [
        "UTC",
        "/usr/bin/ping cap_net_raw=ep",
        "root NP 2010-09-19 -1 -1 -1 -1",
    ]


def test_locales_can_be_generated(root: Root) -> None:
    before = root.sh("locale -a")
    assert before.split() == ["C", "C.utf8", "POSIX"]
    script = """
    sed -i 's/^#\\(en_US.UTF-8 UTF-8\\)/\\1/' /etc/locale.gen
    locale-gen
    locale -a
    LC_ALL=en_US.UTF-8 date -d 2024-02-01 +%B
    rm /usr/lib/locale/locale-archive
    """
    assert root.sh(script).split()[-5:] == ["C", "C.utf8", "POSIX", "en_US.utf8", "February"]


def test_a_package_can_be_installed_over_http(root: Root) -> None:
    root.sh("pacman -Sy --noconfirm nano")
    assert "GNU nano" in root.sh("nano --version")
    assert any("nano" in line and line.endswith(" 200") for line in root.server.requests)
    root.sh("pacman -Rs --noconfirm nano && ! command -v nano")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def test_an_ssh_server_runs_in_it(root: Root, tmp_path: Path) -> None:
    root.sh("pacman -Sy --noconfirm --needed openssh sudo")
    key = tmp_path / "id"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
    allowed = root.path / "root/.ssh/authorized_keys"
    allowed.parent.mkdir(mode=0o700, exist_ok=True)
    allowed.write_text(key.with_suffix(".pub").read_text())
    allowed.chmod(0o600)
    root.sh("ssh-keygen -A >/dev/null; mkdir -p /run/sshd; sshd -t; visudo -c")
    port = free_port()
    script = f"exec /usr/bin/sshd -D -e -o ListenAddress=127.0.0.1 -p {port}"
    argv = [*NAMESPACE, "sh", "-c", ENTER, "enter", str(root.path), script]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        ssh = ["ssh", "-F", "none", "-i", str(key), "-p", str(port), "-o", "BatchMode=yes"]
        ssh += ["-o", f"UserKnownHostsFile={tmp_path}/known", "-o", "StrictHostKeyChecking=no"]
        deadline = time.monotonic() + 20
        while "listening on" not in (tmp_path / "log").read_text():
            assert server.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.05)
        asked = run(*ssh, "-q", "root@127.0.0.1", "sudo -n id -un 2>&-; pacman -Qq openssh")
        assert asked.stdout.split() == ["root", "openssh"]
    finally:
        server.kill()  # unshare; the kernel takes the namespace and all in it
        server.wait(10)


# Mirrors with something wrong.


def install(folder: Path, server: str, trust: Path, rc: int | None) -> str:
    """Install nano, and nothing that it needs, into a scratch root; return what pacman said."""
    conf = configuration(folder, server, trust)
    root = folder / "scratch"
    (root / "var/lib/pacman").mkdir(parents=True)
    argv = ["pacman", "--config", str(conf), "--root", str(root), "-Sy", "--noconfirm", "-dd"]
    return run(*argv, "nano", rc=rc).stdout


Variant = Callable[[SampleMirror, Path], SampleMirror]


def signed_by(key: str) -> Variant:
    return lambda mirror, to: faults.signed_by(mirror, to, "nano", key)


REFUSED: dict[str, tuple[Variant, str]] = {
    "tampered": (lambda m, to: faults.tampered(m, to, "nano"), "invalid or corrupted package"),
    "unsigned": (lambda m, to: faults.unsigned(m, to, "nano"), r"failed retrieving file .*\.sig"),
    "revoked": (signed_by(sample_keys.REVOKED), "nano: key .* is disabled"),
    "expired": (signed_by(sample_keys.EXPIRED), "nano: signature from .* is unknown trust"),
    "stranger": (signed_by(sample_keys.STRANGER), "required key missing from keyring"),
    "removed": (lambda m, to: faults.removed(m, to, "nano"), "failed to retrieve some files"),
    "database": (lambda m, to: faults.without_database(m, to, "extra"), "failed to synchronize"),
    "database unsigned": (
        lambda m, to: faults.unsigned_database(m, to, "extra"),
        "failed to synchronize",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_refused(
    sample: SampleMirror, trust: Path, tmp_path: Path, name: str
) -> None:
    make, words = REFUSED[name]
    before = {path: path.read_bytes() for path in sample.directory("extra").iterdir()}
    said = install(tmp_path, make(sample, tmp_path / "copy").server, trust, rc=1)
    assert re.search(words, said), said
    assert not (tmp_path / "scratch/usr").exists()
    # The mirror that was copied is as it was.
    assert {path: path.read_bytes() for path in sample.directory("extra").iterdir()} == before


def test_what_is_right_is_taken(sample: SampleMirror, trust: Path, tmp_path: Path) -> None:
    install(tmp_path, sample.server, trust, rc=0)
    assert installed(tmp_path / "scratch") == ["nano"]


def test_a_newer_version_is_offered(sample: SampleMirror, trust: Path, tmp_path: Path) -> None:
    newer = faults.bumped(sample, tmp_path / "copy", "nano")
    install(tmp_path, newer.server, trust, rc=0)
    version = run("pacman", "--root", tmp_path / "scratch", "-Q", "nano").stdout.split()[1]
    assert version == newer.packages["nano"].version
    older = sample.packages["nano"].version
    assert run("vercmp", version, older).stdout.strip() == "1"


def test_a_download_that_is_cut_is_not_installed(
    sample: SampleMirror, trust: Path, tmp_path: Path
) -> None:
    with serve(sample.served, Faults(cut="*/nano-*.zst", cut_after=5000)) as server:
        said = install(tmp_path, server.mirror, trust, rc=1)
        assert "failed to retrieve some files" in said
        shutil.rmtree(tmp_path / "scratch")
        server.faults.cut = ""
        # pacman goes on from where it was cut.
        install(tmp_path, server.mirror, trust, rc=0)
        assert any("/nano-" in line and line.endswith(" 206") for line in server.requests)
