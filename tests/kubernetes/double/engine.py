"""The containers of the double: real ones of a Docker engine, made as a kubelet would have them made."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import io
import os
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from docker.errors import APIError, ImageNotFound, NotFound

from toolkit.dockers import connect

LABEL = "io.barescan.double"
"""On every container of a double; its value is the process that runs it."""
_PAUSE = Path(__file__).with_name("pause.c")
_T = TypeVar("_T")


class Engine:
    """The calls to the engine, each in a thread of its own so that the server is never held up."""

    def __init__(self) -> None:
        self.client = connect()
        self.label = f"{LABEL}={os.getpid()}"
        self._threads = ThreadPoolExecutor(16, "double-engine")
        self._remove_of_the_dead()
        self._pause = _pause_image(self.client)

    async def call(self, function: Callable[..., _T], *arguments: Any, **options: Any) -> _T:
        """Run a blocking call of the client in a thread."""
        bound = functools.partial(function, *arguments, **options)
        return await asyncio.get_running_loop().run_in_executor(self._threads, bound)

    async def image(self, reference: str) -> Any | None:
        """Return an image that is there, or None."""
        try:
            return await self.call(self.client.images.get, reference)
        except (ImageNotFound, NotFound, APIError):
            return None

    async def images(self) -> list[Any]:
        """Return all images that have a name."""
        return [each for each in await self.call(self.client.images.list) if each.tags]

    async def create(self, image: str, **options: Any) -> str:
        """Create a container with the label of this run; return its id."""
        labels = {LABEL: str(os.getpid())} | options.pop("labels", {})
        made = await self.call(self.client.containers.create, image, labels=labels, **options)
        return str(made.id)

    async def pause(self, name: str, **options: Any) -> str:
        """Start the container that holds a pod's namespaces; return its id."""
        container = await self.create(self._pause, name=name, ipc_mode="shareable", **options)
        await self.start(container)
        return container

    async def start(self, container: str) -> None:
        await self.call(self.client.api.start, container)

    async def inspect(self, container: str) -> dict[str, Any]:
        """Return all that the engine knows of a container, or nothing when it is gone."""
        try:
            return dict(await self.call(self.client.api.inspect_container, container))
        except NotFound:
            return {}

    async def states(self) -> dict[str, str]:
        """Return the state (`running`, `exited`, …) of every container of this run."""
        found = await self.call(self.client.api.containers, all=True, filters={"label": self.label})
        return {each["Id"]: each["State"] for each in found}

    async def remove(self, container: str, grace: int | None = None) -> None:
        """Remove a container, after it had so many seconds to end by itself."""
        try:
            if grace:
                await self.call(self.client.api.stop, container, timeout=grace)
            await self.call(self.client.api.remove_container, container, force=True, v=True)
        except NotFound:
            pass
        except APIError as error:
            if error.status_code != 409:  # it is being removed already
                raise

    def close(self) -> None:
        """Remove every container of this run."""
        for container in self._labelled():
            _remove(container)
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.client.close()

    def _labelled(self, label: str = "") -> list[Any]:
        found = self.client.containers.list(
            all=True, filters={"label": label or self.label}, ignore_removed=True
        )
        return list(found)

    def _remove_of_the_dead(self) -> None:
        """Remove what runs left that were killed."""
        for container in self._labelled(LABEL):
            if not Path("/proc", container.labels[LABEL]).exists():
                _remove(container)


def _remove(container: Any) -> None:
    try:
        container.remove(force=True, v=True)
    except APIError as error:
        if error.status_code not in (404, 409):
            raise


def _pause_image(client: Any) -> str:
    """Return the image of one static program that pauses, compiled and imported on the first call."""
    tag = hashlib.sha256(_PAUSE.read_bytes()).hexdigest()[:12]
    reference = f"barescan-test-pause:{tag}"
    if not client.images.list(name=reference):
        packed = io.BytesIO()
        with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=packed, mode="w") as tar:
            program = Path(folder, "pause")
            subprocess.run(["gcc", "-static", "-Os", "-s", "-o", program, _PAUSE], check=True)
            tar.add(program, "pause")
        client.api.import_image_from_data(
            packed.getvalue(), "barescan-test-pause", tag, changes=['ENTRYPOINT ["/pause"]']
        )
    return reference


def start_error(error: APIError) -> str:
    """Return what a container runtime of a node would say where the engine can't start a container."""
    said = str(error.explanation)
    matched = re.search(r'(exec: ".*)', said, re.DOTALL)
    cause = matched[1].strip() if matched else said
    return (
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: "
        f"runc create failed: unable to start container process: {cause}"
    )
