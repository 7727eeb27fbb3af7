"""What is shipped in the tests of sinks, what spoils it, and what an engine has."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from rootwright.image import image_config
from rootwright.layer import LayerSpec, digest_script
from rootwright.layer_stream import LayerDigest, read_digest
from rootwright.sinks.docker import DockerSink
from tests.support.docker_api import client_of, images
from tests.support.streams import output

EPOCH = 1_700_000_000
TAG = "demo/shipped:1"

# Another dockerd than the one that is installed, to test with a newer one.
DOCKERD = os.environ.get("ROOTWRIGHT_TEST_DOCKERD", "dockerd")


def _stores() -> list[str]:
    """Return the stores that this dockerd has: the containerd store came with Docker 24."""
    version = re.search(r"version (\d+)", subprocess.getoutput(f"{DOCKERD} --version"))
    newer = version is not None and int(version[1]) >= 24
    return ["engine", "containerd_store"] if newer else ["engine"]


STORES = _stores()


def config(diff_id: str) -> bytes:
    """Return the configuration of the image that all of these tests ship."""
    return image_config(
        architecture="amd64",
        created_epoch=EPOCH,
        diff_id=diff_id,
        cmd=["/bin/sh"],
        env={"LANG": "C.UTF-8"},
        labels={"org.opencontainers.image.title": "a test"},
        history=["first module", "second module"],
    )


def image_names(url: str) -> set[tuple[str, str]]:
    """Return all images of an engine, with names and IDs as every kind of engine has them."""
    return {
        (id.removeprefix("sha256:"), name.removeprefix("docker.io/")) for id, name in images(url)
    }


def clear(url: str) -> None:
    """Remove all images of an engine."""
    import docker

    with client_of(url) as client:
        for image in client.images(quiet=True, all=True):
            with contextlib.suppress(docker.errors.NotFound):
                client.remove_image(image, force=True)


def sink_at(url: str) -> DockerSink:
    """Return a sink that ships into an engine."""
    return DockerSink(Path(url.removeprefix("unix://")))


def digest_of(root: Path) -> LayerDigest:
    """Return what a root's layer is."""
    return read_digest(output(digest_script(LayerSpec(str(root), EPOCH))))


SPOILED: dict[str, Callable[[str], str]] = {
    "cut in the middle": lambda script: script.replace(
        "| { tee", "| { head -c 3500000; cat >/dev/null; } | { tee"
    ),
    "cut at a member's end": lambda script: script.replace(
        "--file=-", "--exclude=./file3 --file=-"
    ),
    "the connection is cut": lambda script: script.replace(
        "| { tee", "| { head -c 3500000; kill $$; } | { tee"
    ),
    "another byte": lambda script: script.replace(
        "tee /dev/fd/6", "tee /dev/fd/6 | tr '\\1' '\\2'"
    ),
    "tar failed": lambda script: script.replace('tar $?"', 'tar 2"'),
}  # fmt: skip
"""What happens to a layer on its way: each makes a spoiled script of the one that sends it."""


def interrupt(sent: int) -> None:
    """Be the progress that is shown when somebody interrupts."""
    raise KeyboardInterrupt


def interrupted_config(diff_id: str) -> bytes:
    """Be the configuration that is made when somebody interrupts."""
    raise KeyboardInterrupt
