"""Containers and images for tests, through testcontainers and the client it uses."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")  # the reaper's image can't be had offline

from docker.models.containers import Container
from testcontainers.core.container import DockerContainer

from toolkit.demo import distroless
from toolkit.dockers import connect

PROFILE = "scap:debian12#anssi_bp28_minimal"


def distroless_image(tag: str = "barescan-test-base:1") -> str:
    """Import the faithful distroless root with its little server as an image; return its tag."""
    client = connect()
    if not client.images.list(name=tag):
        root = distroless.assemble("base")
        name, _, version = tag.partition(":")
        client.api.import_image_from_data(
            _archive(root), repository=name, tag=version, changes=['ENTRYPOINT ["/app"]', "USER 65532:65532"]
        )
    return tag


def _archive(root: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(root, ".")
    return packed.getvalue()


@contextlib.contextmanager
def running(image: str, **options: Any) -> Iterator[Container]:
    """Run a container with no more rights than it needs; it is gone afterwards."""
    rights = {"cap_drop": ["ALL"], "read_only": True, "network_mode": "none"}
    with DockerContainer(image).with_kwargs(**rights | options) as started:
        yield started.get_wrapped_container()
