"""A container engine one can talk to: finding it, its quirks, and its errors put into our words."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rootwright.errors import RootwrightError, ShipError, UsageError
from rootwright.text import harmless

_ANSWER_SECONDS = 10  # for the first answer: an engine that is there is quick
_PATIENCE_SECONDS = 600  # for unpacking a large layer on a slow disk, which says nothing meanwhile
_FULL = "no space left on device"


def _address(socket: Path | None) -> dict[str, Any]:
    """Return docker-py's arguments for an engine: a socket, else what the environment says.

    The order is the Docker command's: DOCKER_HOST with its TLS variables, then DOCKER_CONTEXT or
    the context chosen in docker's config.json, then the usual socket. (docker-py's own from_env
    knows contexts only since 7.2.)
    """
    from docker.context import ContextAPI
    from docker.errors import DockerException
    from docker.utils import kwargs_from_env

    if socket is not None:
        return {"base_url": f"unix://{socket}"}
    try:
        arguments: dict[str, Any] = {**kwargs_from_env()}
        if "base_url" not in arguments:
            name = os.environ.get("DOCKER_CONTEXT")
            context = ContextAPI.get_context(name)
            if context is None:
                raise UsageError(
                    "the Docker context that is chosen does not exist",
                    where=f"DOCKER_CONTEXT={name}" if name else "docker's config.json",
                    hint="docker context ls shows those there are",
                )
            arguments = {"base_url": context.Host, **arguments}
            if context.TLSConfig is not None:
                arguments["tls"] = context.TLSConfig
    except DockerException as error:
        raise UsageError(
            f"the settings for the Docker engine make no sense: {error}",
            hint="see DOCKER_HOST, DOCKER_TLS_VERIFY, DOCKER_CERT_PATH and docker context ls",
        ) from error
    if arguments["base_url"].startswith("ssh://"):
        # docker-py's own SSH accepts any host key; the ssh program does not.
        arguments["use_ssh_client"] = True
    return arguments


class Engine:
    """One connection to an engine.

    client: docker-py's low-level client. address: where the engine is, as in DOCKER_HOST.
    """

    def __init__(self, socket: Path | None = None) -> None:
        """Connect; ShipError when nothing answers.

        socket: the engine's Unix socket; without one, what DOCKER_HOST or the Docker context says.
        """
        import docker

        arguments = _address(socket)
        self.address: str = arguments["base_url"]
        self.name = f"Docker at {self.address}"
        try:
            # Any, since the published types know only half of its methods.
            self.client: Any = docker.APIClient(
                version="auto", timeout=_ANSWER_SECONDS, **arguments
            )
            components = self.client.version().get("Components") or []
            status = self.client.info().get("DriverStatus") or []
        except (docker.errors.DockerException, OSError) as error:
            hint = "start it (for instance: systemctl start docker), or give --to FILE.tar"
            if isinstance(_innermost(error), PermissionError):
                hint = "your user may not use its socket: join its group (docker), or be root"
            raise ShipError(
                f"no Docker engine answers at {self.address}: {harmless(_reason(error))}",
                hint=hint,
            ) from error
        # Not a setting of requests but of docker-py, read at each request.
        self.client.timeout = _PATIENCE_SECONDS
        self.is_podman = any(part.get("Name") == "Podman Engine" for part in components)
        # https://docs.docker.com/engine/storage/containerd/ says how to tell it.
        self.has_containerd_store = ["driver-type", "io.containerd.snapshotter.v1"] in status
        if self.is_podman:
            self.name = f"Podman at {self.address}"

    @property
    def keeps_layers_apart(self) -> bool:
        """Whether a configuration can be loaded over a layer that the engine already has."""
        return not (self.is_podman or self.has_containerd_store)

    def close(self) -> None:
        """Close the connection."""
        self.client.close()

    def inspect(self, name: str) -> dict[str, Any] | None:
        """Return what the engine knows of an image, None when it has no such image."""
        import docker

        with self.speaking("looking for an image"), contextlib.suppress(docker.errors.NotFound):
            facts: dict[str, Any] = self.client.inspect_image(name)
            if not facts["Id"].startswith("sha256:"):
                facts["Id"] = f"sha256:{facts['Id']}"
            return facts
        return None

    @contextlib.contextmanager
    def speaking(self, doing: str) -> Iterator[None]:
        """Turn whatever docker-py raises inside into a ShipError; doing: a gerund, for the words.

        Errors of our own that pass through (a stream that was cut) stay what they are.
        """
        import docker
        import requests
        import urllib3

        try:
            yield
        except RootwrightError:
            raise
        except docker.errors.APIError as error:
            raise self._refusal(doing, str(error.explanation or error)) from error
        except (
            docker.errors.DockerException,
            docker.errors.StreamParseError,
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            OSError,
        ) as error:
            raise self._break(doing, error) from error

    def check(self, answers: Iterable[dict[str, Any]], doing: str) -> list[dict[str, Any]]:
        """Return an engine's answers; ShipError when one of them is an error.

        An engine that has begun to answer reports errors inside of the answer, under status 200.
        """
        taken = []
        for answer in answers:
            if told := answer.get("error") or answer.get("errorDetail"):
                raise self._refusal(doing, told["message"] if isinstance(told, dict) else told)
            taken.append(answer)
        return taken

    def _refusal(self, doing: str, words: str) -> ShipError:
        words = harmless(words.strip())
        if _FULL in words.lower():
            return ShipError(
                f"the disk of the engine is full: {words}",
                where=self.name,
                hint="make room there (docker system df shows what takes it), then run it again",
            )
        return ShipError(
            f"the engine failed while {doing}: {words}",
            where=self.name,
            hint="nothing was tagged; the engine's log may say more",
        )

    def _break(self, doing: str, error: Exception) -> ShipError:
        if self._answers():
            what = f"the engine broke off while {doing}: {harmless(_reason(error))}"
            hint = "it still answers: its log says why (a full disk is a usual reason)"
        else:
            what = f"the engine stopped answering while {doing}"
            hint = "nothing was tagged; start the engine again, then run it again"
        return ShipError(what, where=self.name, hint=hint)

    def _answers(self) -> bool:
        import docker
        import requests

        self.client.timeout = _ANSWER_SECONDS
        try:
            return bool(self.client.ping())
        except (docker.errors.DockerException, requests.RequestException):
            return False
        finally:
            self.client.timeout = _PATIENCE_SECONDS


def _innermost(error: BaseException) -> BaseException:
    """Return what began it: docker-py, requests and urllib3 each wrap an error once more."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


def _reason(error: BaseException) -> str:
    error = _innermost(error)
    words = error.strerror if isinstance(error, OSError) else str(error)
    return words or type(error).__name__
