"""Which auditor images an engine has, and how one gets into a registry."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import docker
import requests
from docker.errors import APIError, ImageNotFound
from docker.models.images import Image

from toolkit.agent.source import source_sha256
from toolkit.auditor import AGENT_LABEL, BUNDLE_LABEL
from toolkit.dockers import reason
from toolkit.errors import CallError, ScanError

Progress = Callable[[str], None]
_SECONDS = 600


@dataclass(frozen=True)
class Auditor:
    """One auditor image of an engine; `usable` tells whether its agent is this client's."""

    names: tuple[str, ...]
    identity: str
    bytes: int
    version: str
    bundle_sha256: str
    usable: bool


def get(client: docker.DockerClient, name: str) -> Image:
    """Return an image by name; ScanError when the engine has none."""
    try:
        return client.images.get(name)
    except ImageNotFound:
        raise ScanError(
            f"the engine has no image {name}",
            "build it with `invoke images.build`, or see `invoke images.list`",
        ) from None


def auditors(client: docker.DockerClient) -> list[Auditor]:
    """Return the auditor images of this engine, usable ones first."""
    found = []
    for image in client.images.list(filters={"label": AGENT_LABEL}):
        labels = image.labels
        found.append(
            Auditor(
                (*image.tags, *(image.attrs.get("RepoDigests") or ())),
                str(image.id),
                int(image.attrs["Size"]),
                labels.get("org.opencontainers.image.version", ""),
                labels.get(BUNDLE_LABEL, ""),
                labels[AGENT_LABEL] == source_sha256(),
            )
        )
    return sorted(found, key=lambda each: (not each.usable, each.names))


def push(client: docker.DockerClient, name: str, to: str, progress: Progress) -> str:
    """Push an image under the name `to`, with the credentials of `docker login`; return it by digest.

    Raises CallError for a name that can't be one, ScanError as the registry or the engine says.
    """
    repository, tag = _split(to)
    image = get(client, name)
    known = to in image.tags
    client.api.timeout = _SECONDS
    digest = ""
    try:
        image.tag(repository, tag)
        for line in client.api.push(repository, tag=tag, stream=True, decode=True):
            if "error" in line:
                raise _refused(to, str(line["error"]))
            digest = (line.get("aux") or {}).get("Digest") or digest
            if line.get("status") in {"Pushed", "Layer already exists"}:
                progress(f"{line.get('id', '')}: {line['status']}")
    except (APIError, requests.RequestException) as error:
        raise _refused(to, reason(error)) from None
    finally:
        if not digest and not known:  # a name under which nothing was pushed only misleads
            with contextlib.suppress(APIError):
                client.images.remove(f"{repository}:{tag}", noprune=True)
    if not digest:
        raise ScanError(f"the registry named no digest for {to}", "see the engine's log")
    return f"{repository}@{digest}"


def _split(reference: str) -> tuple[str, str]:
    """Return repository and tag (`latest` where none is said) of a name to push to."""
    head, slash, last = reference.rpartition("/")
    base, _, tag = last.partition(":")
    if "@" in reference or not base or head != head.lower() or base != base.lower():
        raise CallError(f"{reference!r} is no name to push to", "write --to REGISTRY/NAME:TAG")
    return f"{head}{slash}{base}", tag or "latest"


def _refused(to: str, said: str) -> ScanError:
    low = said.lower()
    if any(word in low for word in ("denied", "unauthorized", "authentication", "no basic auth")):
        return ScanError(
            f"the registry refuses {to}: {said[:300]}", "docker login, or ask for the right to push"
        )
    if any(
        word in low
        for word in ("no such host", "refused", "timeout", "unreachable", "lookup", "server gave http")
    ):
        return ScanError(
            f"the registry of {to} can't be reached: {said[:300]}",
            "check its name; one that speaks only HTTP must be in the engine's list of insecure registries",
        )
    return ScanError(f"{to} could not be pushed: {said[:300]}", "see the engine's log")
