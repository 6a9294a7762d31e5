"""Containers of Docker and Podman: an auditor container joins the target's PID namespace."""

from __future__ import annotations

import contextlib
import io
import json
import secrets
import socket
import struct
import tarfile
import threading
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import platformdirs
import requests
from docker.errors import APIError, ImageNotFound, NotFound
from docker.models.containers import Container
from docker.models.images import Image

from toolkit import dockers
from toolkit.agent.source import source_sha256
from toolkit.agent.stream import Stream
from toolkit.auditor import ADDING, AGENT_LABEL, CAPABILITIES, IMAGE_BUNDLE, SCAN_LABEL, deadline_label
from toolkit.bundle import manifest
from toolkit.bundle.build import Bundle
from toolkit.errors import ScanError
from toolkit.runtimes import cgroups
from toolkit.runtimes.base import Bundles, Connection, Runtime, check_not_prying

_GRACE_SECONDS = 30  # beyond the agent's own deadline
_ENDING_SECONDS = 5  # for the auditor to end by itself once its stream is closed
_LONGEST_COMPLAINT = 4000
_NO_ANSWER = (APIError, requests.RequestException)
_FRAME = struct.Struct(">BxxxL")
_STDOUT = 1
_CHUNK = 1 << 18
_NOT_SCANNABLE = {
    "created": ("was never started", "start it"),
    "exited": ("is not running", "start it"),
    "dead": ("is dead", "start it anew"),
    "removing": ("is being removed", "name one that runs"),
    "restarting": ("is restarting", "wait until it keeps running"),
    "paused": ("is paused, and the auditor would be stopped with it", "unpause it"),
}


class DockerRuntime(Runtime):
    """A running container of a Docker engine, local or remote."""

    scheme = "docker"

    @cached_property
    def _client(self) -> Any:
        return dockers.connect(self.scheme)

    @cached_property
    def _container(self) -> Container:
        """The target, which must be running."""
        try:
            container: Container = self._client.containers.get(self.name)
        except NotFound:
            raise ScanError(
                f"the {self.scheme} engine has no container {self.name!r}",
                f"see: {self.scheme} ps -a; {'DOCKER_HOST' if self.scheme == 'docker' else 'CONTAINER_HOST'} "
                "names the engine of another host",
            ) from None
        except APIError as error:
            raise ScanError(f"{self.uri}: {dockers.reason(error)}", "see the engine's log") from None
        if container.status in _NOT_SCANNABLE:
            cause, remedy = _NOT_SCANNABLE[container.status]
            image, said = container.attrs["Config"]["Image"], container.attrs["State"].get("Error")
            why = f" ({said[:300]})" if said else ""
            raise ScanError(
                f"the container {self.name} {cause}{why}", f"{remedy}, or scan its image with image://{image}"
            )
        return container

    @cached_property
    def _image(self) -> Image:
        """The auditor image, which must hold this client's agent."""
        name = self.auditing.image
        try:
            image: Image = self._client.images.get(name)
        except ImageNotFound:
            raise ScanError(
                f"the {self.scheme} engine has no image {name}",
                "build it with `invoke images.build`, or load one with `invoke images.load --file F`",
            ) from None
        if image.labels.get(AGENT_LABEL) != source_sha256():
            raise ScanError(
                f"the image {name} is no auditor, or not of this version of barescan",
                "build it anew: invoke images.build",
            )
        return image

    def bundle(self, local: Bundles) -> Bundle:
        """Return the auditor image's bundle; raises ScanError for a target or image that can't be used."""
        del local
        if not self.trust_target:
            host = self._container.attrs["HostConfig"]
            check_not_prying(self.name, host.get("CapAdd") or [], privileged=bool(host.get("Privileged")))
        return Bundle(Path(IMAGE_BUNDLE), _manifest(self._client, self._image))

    def facts(self) -> dict[str, Any]:
        """Return ids and names of container and image, and the image's digests where it has any."""
        attributes = self._container.attrs
        image = attributes["Image"]
        facts = {"container": self._about(attributes), "image_id": image}
        with contextlib.suppress(*_NO_ANSWER):
            facts["image_digests"] = self._client.images.get(image).attrs.get("RepoDigests") or []
        return facts

    @staticmethod
    def _about(attributes: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": attributes["Id"],
            "name": attributes["Name"].lstrip("/"),
            "image": attributes["Config"]["Image"],
            "started": attributes["State"]["StartedAt"],
        }

    def job(self) -> dict[str, Any]:
        """Name the process: 1 where the PID namespace is the target's own, else the engine's number."""
        return {"pid": self._container.attrs["State"]["Pid"] if self._shares_pids else 1}

    @property
    def _shares_pids(self) -> bool:
        """Whether the target's PID namespace is not its own (`--pid host`, `--pid container:`)."""
        return bool(self._container.attrs["HostConfig"].get("PidMode"))

    @contextlib.contextmanager
    def attach(self, bundle: Path, timeout: float) -> Iterator[Connection]:
        """Start the auditor container and speak to its agent; it is removed in any case."""
        del bundle
        remove_leftovers(self._client)
        self.tell(ADDING)
        container = self._create(timeout)
        try:
            with conversation(self._client, container, timeout) as connection:
                yield connection
        finally:
            _remove(container)

    def _create(self, timeout: float) -> Container:
        options = {
            "name": f"barescan-{secrets.token_hex(4)}",
            "stdin_open": True,
            "user": "0:0",
            "pid_mode": "host" if self._shares_pids else f"container:{self._container.id}",
            "network_mode": "none",
            "read_only": True,
            "mem_limit": cgroups.MEMORY_BYTES,
            "pids_limit": cgroups.PROCESSES,
            "log_config": {"Type": "none"},  # the report goes through standard output
            "auto_remove": True,
            "labels": deadline_label(timeout + _GRACE_SECONDS),
            **self._rights(),
        }
        try:
            container: Container = self._client.containers.create(self._image.id, **options)
        except (APIError, ImageNotFound) as error:
            raise _refused(error) from None
        return container

    def _rights(self) -> dict[str, Any]:
        if self.auditing.privileged:
            return {"privileged": True}
        said = " ".join(self._client.info().get("SecurityOptions") or [])
        rights: dict[str, Any] = {"cap_drop": ["ALL"], "cap_add": list(CAPABILITIES)}
        if "apparmor" in said:  # its default profile denies mount
            rights["security_opt"] = ["apparmor=unconfined"]
        userns = self._container.attrs["HostConfig"].get("UsernsMode")
        return rights | ({"userns_mode": userns} if userns == "host" else {})

    def explained(self, broke: ScanError, complaint: str) -> ScanError:
        """Return what happened to the target, if it was that which broke the scan off."""
        try:
            now = self._client.containers.get(self._container.id)
        except NotFound:
            return ScanError(
                f"the container {self.name} was removed during the scan", "scan one that keeps running"
            )
        except _NO_ANSWER:
            return ScanError(
                f"the {self.scheme} engine went away during the scan",
                "scan again once it answers",
                transient=True,
            )
        again = "scan again once it keeps running"
        if now.attrs["State"]["StartedAt"] != self._container.attrs["State"]["StartedAt"]:
            cause = f"the container {self.name} was restarted during the scan"
            return ScanError(cause, again, transient=True)
        if now.status != "running":
            cause = f"the container {self.name} stopped during the scan ({now.status})"
            return ScanError(cause, again, transient=True)
        return super().explained(broke, complaint)


class PodmanRuntime(DockerRuntime):
    """A running container of Podman, through its Docker-compatible socket."""

    scheme = "podman"


def remove_leftovers(client: Any) -> list[str]:
    """Remove auditor containers whose deadline has passed; return their ids.

    They are removed by the engine as soon as their client is gone: what is found here was created and never
    started, or left by an engine that was killed.
    """
    removed = []
    for container in client.containers.list(all=True, filters={"label": SCAN_LABEL}, ignore_removed=True):
        deadline = container.labels.get(SCAN_LABEL, "")
        if deadline.isdigit() and int(deadline) < time.time():
            _remove(container)
            removed.append(str(container.id))
    return removed


def _remove(container: Container) -> None:
    """Remove a container, however far it got; it may be removing itself."""
    with contextlib.suppress(*_NO_ANSWER):
        container.remove(force=True, v=True)


def _refused(error: Exception) -> ScanError:
    said = dockers.reason(error)
    if "operation not permitted" in said or "unable to apply caps" in said:
        return ScanError(
            f"the engine may not give the auditor its capabilities: {said}",
            "use an engine that runs as root, or scan the image with image://",
        )
    return ScanError(f"the auditor container could not be started: {said}", "see the engine's log")


def _manifest(client: Any, image: Image) -> dict[str, Any]:
    """Return the manifest of an auditor image's bundle, remembered by the image's id."""
    place = platformdirs.user_cache_path("barescan") / "images" / f"{str(image.id).replace(':', '-')}.json"
    with contextlib.suppress(OSError, ValueError):
        remembered: dict[str, Any] = json.loads(place.read_bytes())
        return remembered
    container = client.containers.create(image.id, network_mode="none", labels=deadline_label(_GRACE_SECONDS))
    try:
        chunks, _ = container.get_archive(f"{IMAGE_BUNDLE}/bundle.json")
        content = _only_file(b"".join(chunks))
    except (APIError, NotFound, tarfile.TarError) as error:
        raise ScanError(f"the image {image.id} holds no bundle: {error}", "build it anew") from None
    finally:
        _remove(container)
    try:
        found = manifest.checked(json.loads(content))
    except (ValueError, RecursionError):
        raise ScanError(f"the image {image.id} holds no bundle that can be read", "build it anew") from None
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return found


def _only_file(archive: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        file = tar.extractfile(tar.next() or tarfile.TarInfo())
        return file.read() if file else b""


@contextlib.contextmanager
def conversation(client: Any, container: Container, timeout: float) -> Iterator[Connection]:
    """Start the container with its standard streams attached; two threads carry the bytes."""
    attached = client.api.attach_socket(
        container.id, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
    )
    engine = getattr(attached, "_sock", attached)
    engine.settimeout(None)
    try:
        container.start()
    except (APIError, NotFound) as error:
        attached.close()
        raise _refused(error) from None
    ours, theirs = socket.socketpair()
    connection = Connection(Stream(ours.fileno(), ours.fileno(), time.monotonic() + timeout + _GRACE_SECONDS))
    pumps = [
        threading.Thread(target=_bring, args=(engine, theirs, connection), daemon=True),
        threading.Thread(target=_take, args=(theirs, engine), daemon=True),
    ]
    for pump in pumps:
        pump.start()
    try:
        yield connection
    finally:
        ours.close()  # the pumps end, the engine closes the agent's standard input, and the agent ends
        pumps[0].join(_ENDING_SECONDS)
        attached.close()
        with contextlib.suppress(OSError):
            engine.shutdown(socket.SHUT_RDWR)
        theirs.close()


def _take(source: socket.socket, engine: Any) -> None:
    """Carry what the client sends into the container's standard input."""
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            engine.sendall(data)
    with contextlib.suppress(OSError, AttributeError):
        engine.shutdown(socket.SHUT_WR)


def _bring(engine: Any, sink: socket.socket, connection: Connection) -> None:
    """Carry the container's standard output to the client, and keep the end of its standard error.

    The engine's frames are read with plain blocking reads: a poll, as docker-py's own reader does, misses
    what TLS has decrypted already.
    """
    with contextlib.suppress(OSError):
        while header := _exactly(engine, _FRAME.size):
            kind, length = _FRAME.unpack(header)
            while length > 0 and (data := engine.recv(min(length, _CHUNK))):
                length -= len(data)
                if kind == _STDOUT:
                    sink.sendall(data)
                else:
                    said = connection.complaint + data.decode(errors="replace")
                    connection.complaint = said[-_LONGEST_COMPLAINT:]
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _exactly(engine: Any, size: int) -> bytes:
    """Return `size` bytes, or none at the end of the stream."""
    data = b""
    while len(data) < size:
        part = engine.recv(size - len(data))
        if not part:
            return b""
        data += part
    return data
