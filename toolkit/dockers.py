"""The one way to a Docker engine, or to Podman through its Docker-compatible socket."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import docker
import requests
from docker.context import ContextAPI
from docker.errors import DockerException

from toolkit.errors import ScanError

OLDEST_API = (1, 40)
"""Docker 19.03, the first whose clients and engines agree on containers that remove themselves; 2019."""
_SECONDS = 60
_PODMAN_SOCKETS = ("/run/podman/podman.sock", "{XDG_RUNTIME_DIR}/podman/podman.sock")


def connect(kind: str = "docker") -> docker.DockerClient:
    """Return a client of the engine that DOCKER_HOST or the current Docker context names, or of Podman.

    `kind` is "docker" or "podman"; for Podman CONTAINER_HOST names the socket, else the system's and then
    the user's own is taken. Raises ScanError when none answers, access is denied, or it is too old.
    """
    address = podman_address() if kind == "podman" else None
    _check_context(kind)
    try:
        client = _client(address)
        about = client.version()
    except (DockerException, requests.RequestException, OSError, ValueError) as error:
        raise _unreachable(kind, address or os.environ.get("DOCKER_HOST", ""), error) from None
    _check(kind, about)
    return client


def _client(address: str | None) -> docker.DockerClient:
    if address is None:
        return docker.from_env(version="auto", timeout=_SECONDS)
    return docker.DockerClient(base_url=address, version="auto", timeout=_SECONDS)


def _check_context(kind: str) -> None:
    """Refuse a context that does not exist: docker-py would take the default one, another engine."""
    name = os.environ.get("DOCKER_CONTEXT", "")
    if (
        kind == "docker"
        and name
        and not os.environ.get("DOCKER_HOST")
        and ContextAPI.get_context(name) is None
    ):
        raise ScanError(f"there is no Docker context {name!r} (DOCKER_CONTEXT)", "see: docker context ls")


def podman_address() -> str:
    """Return where Podman's socket is, or would be."""
    if given := os.environ.get("CONTAINER_HOST"):
        return given
    places = [
        place.format(XDG_RUNTIME_DIR=os.environ.get("XDG_RUNTIME_DIR", "")) for place in _PODMAN_SOCKETS
    ]
    return "unix://" + next((place for place in places if Path(place).exists()), places[0])


def _check(kind: str, about: dict[str, Any]) -> None:
    said = str(about.get("ApiVersion", "0"))
    numbers = tuple(int(part) for part in said.split(".") if part.isdigit())
    if numbers < OLDEST_API:
        wanted = ".".join(map(str, OLDEST_API))
        raise ScanError(
            f"the {kind} engine speaks version {said} of the API, barescan needs {wanted} or newer",
            "update the engine (Docker 19.03 or newer)",
        )
    if about.get("Os", "linux") != "linux":
        raise ScanError(
            f"the {kind} engine runs {about['Os']} containers", "use an engine for Linux containers"
        )


def _unreachable(kind: str, address: str, error: Exception) -> ScanError:
    where = f" at {address}" if address else ""
    start = "systemctl start docker" if kind == "docker" else "systemctl start podman.socket"
    said = str(error)
    if "Permission denied" in said:
        return ScanError(
            f"no permission to use the {kind} engine{where}",
            "run the same command with sudo, or as a member of the engine's group",
        )
    return ScanError(
        f"no {kind} engine answers{where} ({_innermost(error)})",
        f"start it ({start}), set {'DOCKER_HOST' if kind == 'docker' else 'CONTAINER_HOST'}, "
        "or use pid://, rootfs:// or image:///path, which need none",
    )


def reason(error: Exception) -> str:
    """Return what an engine or the way to it said, in one line."""
    said = getattr(error, "explanation", None) or error
    return " ".join(str(said).split())[:400]


def _innermost(error: BaseException) -> str:
    """Return the innermost cause: what the HTTP libraries wrap around it tells a user nothing."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)[:200]
