"""Container engines: Docker, and Podman through its Docker-compatible socket."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import docker
import requests
from docker.errors import DockerException, ImageNotFound

from toolkit import dockers
from toolkit.agent.source import source_sha256
from toolkit.auditor import AGENT_LABEL, BUNDLE_LABEL
from toolkit.doctor.host import too_old
from toolkit.doctor.records import Check, Finding, NotSetUpError, State, look, no, ok, unknown
from toolkit.errors import ScanError

ENGINE = "engine"
_DOCKER_SOCKET = Path("/var/run/docker.sock")


def docker_engine(image: str) -> Iterator[Check]:
    """Look at the Docker engine; NotSetUpError when nothing hints at one."""
    named = os.environ.get("DOCKER_HOST") or os.environ.get("DOCKER_CONTEXT")
    if not named and not _DOCKER_SOCKET.exists() and not shutil.which("docker"):
        raise NotSetUpError("there is neither a Docker engine here, nor does DOCKER_HOST name one")
    return _engine("docker", image, os.environ.get("DOCKER_HOST", ""))


def podman_engine(image: str) -> Iterator[Check]:
    """Look at Podman; NotSetUpError when its socket is not there."""
    address = dockers.podman_address()
    path = address.removeprefix("unix://")
    if not os.environ.get("CONTAINER_HOST") and not Path(path).exists():
        start = "; systemctl start podman.socket makes it" if shutil.which("podman") else ""
        raise NotSetUpError(f"there is no socket of Podman{start}")
    return _engine("podman", image, address)


def _engine(kind: str, image: str, address: str) -> Iterator[Check]:
    try:
        client = dockers.connect(kind)
    except ScanError as error:
        yield Check(ENGINE, State.NO, error.cause, error.remedy)
        return
    yield look(ENGINE, _version, client, address)
    yield look("its kernel", _kernel, client)
    yield look("auditor image", _image, client, image)


def _version(client: docker.DockerClient, address: str) -> Finding:
    about = client.version()
    where = f" at {address}" if address else ""
    return ok(f"version {about.get('Version')} (API {about.get('ApiVersion')}) answers{where}")


def _kernel(client: docker.DockerClient) -> Finding:
    release = str(client.info().get("KernelVersion") or "")
    judged = too_old(release)
    if judged is None:
        return unknown(f"the engine names no kernel ({release})")
    if judged:
        return no(f"Linux {release}", "use an engine on Linux 5.12 or newer, or image://")
    return ok(f"Linux {release}")


def _image(client: docker.DockerClient, name: str) -> Finding:
    try:
        labels = client.images.get(name).labels
    except ImageNotFound:
        return no(
            f"the engine has no image {name}",
            "invoke images.build, or invoke images.load --file F",
        )
    except (DockerException, requests.RequestException) as error:
        return unknown(dockers.reason(error))
    if AGENT_LABEL not in labels:
        return no(f"{name} is no auditor image", "name one with --image, or: invoke images.build")
    if labels[AGENT_LABEL] != source_sha256():
        return no(f"{name} is of another version of barescan", "build it anew: invoke images.build")
    return ok(f"{name}, of this version, bundle {labels.get(BUNDLE_LABEL, '')[:12]}")
