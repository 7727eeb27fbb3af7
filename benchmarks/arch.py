"""Building Arch: cold, again, and with one more locale, against the article's own commands."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.building import Builder
from benchmarks.lab import REPOSITORY, Lab, require
from benchmarks.measure import Run, in_turns, ratios, say
from benchmarks.results import Case, Findings, Target, first_line
from rootwright.sample_mirror import SampleMirror, build, serve
from rootwright.sample_mirror.packages import IGNORED
from tests.support.apart import cache
from tests.support.engine import Engine

_COLD, _AGAIN, _LOCALE = "Rootwright", "Rootwright, again", "Rootwright, one locale more"
_ARTICLE = "the article's commands"
_SCRIPT = Path(__file__).resolve().parent / "article.sh"
_NAMESPACE = "unshare --mount --pid --fork --kill-child --mount-proc"


def measure(runs: int, budget: float) -> Findings:
    """Measure it. Raises UsageError or StepError."""
    require(
        *(("dockerd", "docker.io"), ("docker", "docker.io"), ("pacman", "pacman-package-manager")),
        *(("pacstrap", "arch-install-scripts"), ("bsdtar", "libarchive-tools")),
    )
    sample = build(cache("sample-mirror"), base_as="group", say=say)
    with (
        Lab() as lab,
        Engine(lab.folder / "engine") as engine,
        serve(sample.served) as server,
        _keyring(lab, sample) as trust,
    ):
        options = ["--mirror", server.url, "--keyring", str(sample.keyring), "--devnodes"]
        builder = Builder(lab, engine, "arch", *options)
        article = _Article(lab, builder, server.mirror, trust)
        say("one build by each, not counted")
        builder.cold()
        article.once()
        turns = {
            _COLD: builder.cold,
            _AGAIN: builder.again,
            _LOCALE: lambda: builder.again("--locales", "en_US.UTF-8,de_DE.UTF-8"),
            _ARTICLE: article.once,
        }
        what = "Arch, from the sample mirror into Docker"
        taken = in_turns("Arch", turns, runs, budget)
    case = Case(what, "this machine", taken)
    targets = []
    for name, limit in ((_COLD, 1.1), (_AGAIN, 0.15), (_LOCALE, 0.3)):
        values = ratios(taken[name], taken[_ARTICLE])
        targets.append(Target(f"{name} / {_ARTICLE}", values, limit))
    notes = [
        "The mirror is the sample: Debian's binaries in Arch's packages, signed, on loopback; "
        "`base` is a group, as it was when the article was written.",
        "The keyring that the article's pacstrap checks signatures with is there before it starts, "
        "as on an Arch host; Rootwright makes its own each time.",
        "The article's image has documentation and translations, which Rootwright's lacks unless "
        "asked for; and the article installs haveged while it makes keys, which no kernel of today "
        "needs.",
    ]
    versions = {
        "pacman": first_line("sh", "-c", "pacman --version | grep -o 'Pacman v[0-9.]*'"),
        "Docker": first_line("dockerd", "--version").removeprefix("Docker version "),
    }
    return Findings("arch", "Building a base image of Arch", [case], targets, versions, notes)


class _Article:
    """The article's script, by hand."""

    def __init__(self, lab: Lab, builder: Builder, server: str, trust: Path) -> None:
        self._builder = builder
        self._server = server
        self._folder = lab.folder / "article"
        self._folder.mkdir()
        self._conf = self._folder / "pacman.conf"
        (self._folder / "cache").mkdir()
        self._conf.write_text(
            "[options]\nArchitecture = auto\nSigLevel = Required\n"
            f"GPGDir = {trust}\nCacheDir = {self._folder}/cache\nLogFile = {self._folder}/log\n"
            f"[core]\nServer = {server}\n[extra]\nServer = {server}\n"
        )

    def once(self) -> Run:
        """Run it. The host's cache of packages is empty, as it is for Rootwright."""
        for path in (self._folder / "cache").iterdir():
            path.unlink()
        root = self._builder.folder("article/root")
        words = [sys.executable, root, self._conf, self._server, ",".join(IGNORED)]
        script = shlex.join([str(_SCRIPT), *map(str, words)])
        return self._builder.by_hand(
            f"cd {shlex.quote(str(REPOSITORY))}\n{_NAMESPACE} {script} | {self._builder.import_}"
        )


@contextlib.contextmanager
def _keyring(lab: Lab, sample: SampleMirror) -> Iterator[Path]:
    """Make the keyring that an Arch host would have; end what it started."""
    folder = lab.folder / "g"
    folder.mkdir(mode=0o700)
    key = f"pacman-key --config /dev/null --gpgdir {folder}"
    gpg = f"gpg --homedir {folder} --batch --no-tty --quiet"
    trusted = (sample.keyring / "archlinux-trusted").read_text().splitlines()
    lines = [f"{key} --init", f"{gpg} --import {sample.keyring}/archlinux.gpg"]
    lines += [f"{key} --lsign-key {line.partition(':')[0]}" for line in trusted]
    lines += [f"{gpg} --import-ownertrust {sample.keyring}/archlinux-trusted"]
    lines += [f"{gpg} --check-trustdb", f"gpgconf --homedir {folder} --kill all"]
    try:
        subprocess.run(
            ["sh", "-euc", "\n".join(lines)], capture_output=True, check=True, env=dict(os.environ)
        )
        yield folder
    finally:
        subprocess.run(["gpgconf", "--homedir", str(folder), "--kill", "all"], check=False)
