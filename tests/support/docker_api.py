"""An engine's API, to look at it with our own eyes beside the sink's."""

from __future__ import annotations

import contextlib
from typing import Any


def client_of(url: str) -> contextlib.closing[Any]:
    """Return an engine's API, for a with statement."""
    import docker

    return contextlib.closing(docker.APIClient(base_url=url, version="auto"))


def images(url: str) -> set[tuple[str, str]]:
    """Return all images of an engine, each with its names, the unnamed included."""
    with client_of(url) as client:
        found: list[dict[str, Any]] = client.images(all=True)
    return {
        (image["Id"], name) for image in found for name in image["RepoTags"] or ["<none>:<none>"]
    }
