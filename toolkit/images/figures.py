"""How big an auditor image is, beside what was aimed at and what others take."""

from __future__ import annotations

import zlib

import docker
from docker.models.images import Image

GOAL_UNPACKED = 95_000_000
"""Bytes, SCAP content included."""
GOAL_COMPRESSED = 30_000_000
PEERS = "InSpec's image 459 MB, MITRE's Alpine images of CINC 540 to 658 MB, both unpacked"
_GZIP_LEVEL = 6
"""What engines use for the layers they push."""


def unpacked(image: Image) -> int:
    """Return the bytes of all files in the image."""
    return int(image.attrs["Size"])


def as_gzip(client: docker.DockerClient, image: Image) -> int:
    """Return the bytes that the image takes as gzip layers, as registries keep it (takes seconds)."""
    packer = zlib.compressobj(_GZIP_LEVEL)
    chunks = client.api.get_image(str(image.id))
    return sum(len(packer.compress(chunk)) for chunk in chunks) + len(packer.flush())


def against(what: str, size: int, goal: int) -> str:
    """Return one line: a size in MB (10^6 bytes) beside its goal."""
    held = "within" if size <= goal else "over"
    return f"{what}: {size / 1e6:.1f} MB ({held} the goal of {goal / 1e6:.0f} MB)"
