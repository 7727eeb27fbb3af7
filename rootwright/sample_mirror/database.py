"""The databases of a mirror's repositories, made by pacman's own repo-add."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from rootwright.errors import StepError
from rootwright.sample_mirror import keys
from rootwright.sample_mirror.mirror import SampleMirror


def index(mirror: SampleMirror, repo: str, signer: keys.Signer) -> None:
    """Make and sign the database of `repo` out of the packages that lie in its folder.

    Raises StepError when repo-add fails.
    """
    folder = mirror.directory(repo)
    files = sorted(path.name for path in folder.glob("*.pkg.tar.zst"))
    _repo_add(mirror, repo, files, signer)


def add(mirror: SampleMirror, name: str, signer: keys.Signer) -> None:
    """Bring the database of the package called `name` up to date with its file and signature.

    Raises StepError when repo-add fails.
    """
    _repo_add(mirror, mirror.packages[name].repo, [mirror.path(name).name], signer)


def _repo_add(mirror: SampleMirror, repo: str, files: Sequence[str], signer: keys.Signer) -> None:
    argv = [
        "repo-add",
        "--quiet",
        "--nocolor",
        "--sign",
        "--key",
        signer.fingerprints[keys.PACKAGER],
    ]
    done = subprocess.run(
        [*argv, f"{repo}.db.tar.gz", *files],
        cwd=mirror.directory(repo),
        env=signer.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise StepError(
            f"repo-add could not make the database of {repo}.",
            command=" ".join([*argv, f"{repo}.db.tar.gz", "…"]),
            output="\n".join((done.stdout + done.stderr).decode().splitlines()[-8:]),
        )
    for old in mirror.directory(repo).glob("*.old*"):
        old.unlink()
