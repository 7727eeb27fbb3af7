"""A container of an image of Arch as a host that is reached over SSH."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.program import PATIENCE, Workplace
from tests.support.sshd import Sshd

_SERVE = 'mkdir -p /run/sshd && exec /usr/bin/sshd "$@"'
"""/run is empty in a container; the image's sshd wants a folder in it."""

_RIGHTS = (
    *("--cap-add", "SYS_ADMIN"),
    *("--security-opt", "seccomp=unconfined"),
    *("--security-opt", "apparmor=unconfined"),
    *("--security-opt", "systempaths=unconfined"),
)
"""What mounts and namespaces need. --privileged wants more than a machine that is itself a
container may have to give."""


@contextmanager
def arch_host(place: Workplace, folder: Path) -> Iterator[Sshd]:
    """Run a container of the place's image, which must hold openssh, with its sshd on our loopback.

    folder: the server's, and the container's work dir is ``folder/work``: both see them under one
    path, so that what is built in the container can be looked at from here. All else it has alone.
    """
    client = shutil.which("docker")
    assert client
    name = f"arch-host-{secrets.token_hex(4)}"
    (folder / "sshd").mkdir(parents=True)
    (folder / "sshd/log").touch()  # so that a container that does not start is one that says why
    container = ["run", "--rm", "--name", name, *_RIGHTS, "--network", "host"]
    container += ["--volume", f"{folder}:{folder}", place.tag]
    program = ["env", f"DOCKER_HOST={place.docker}", client, *container, "sh", "-c", _SERVE, "sshd"]
    try:
        with Sshd(folder / "sshd", program=program) as server:
            yield server
    finally:
        # The client's end is not that of the container.
        subprocess.run(
            [client, "rm", "--force", name], env=place.env, capture_output=True, timeout=PATIENCE
        )
