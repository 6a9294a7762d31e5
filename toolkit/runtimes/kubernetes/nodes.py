"""Which nodes there are, and which of them say that they have an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from toolkit.clusters import Cluster

_PAGE = 500
_MOST_LISTED = 50
"""How many images a node lists by default (the kubelet's nodeStatusMaxImages), the largest ones."""
_DOCKER_HUB = "docker.io"


@dataclass(frozen=True)
class Having:
    """Where an image is, as far as the nodes tell."""

    nodes: int
    having: tuple[str, ...]
    lacking: tuple[str, ...]
    """Those that list all their images, and not this one."""

    @property
    def everywhere(self) -> bool:
        """Whether every node has it."""
        return self.nodes > 0 and len(self.having) == self.nodes

    @property
    def nowhere(self) -> bool:
        """Whether it is known that no node has it."""
        return self.nodes > 0 and len(self.lacking) == self.nodes


def read(cluster: Cluster) -> list[Any]:
    """Return the nodes; raises RefusedError where they may not be read."""
    found: list[Any] = []
    more: str | None = None
    while more is None or more:
        page = cluster.call(cluster.core.list_node, limit=_PAGE, **({"_continue": more} if more else {}))
        found += page.items
        more = page.metadata._continue or ""
    return found


def having(nodes: list[Any], image: str) -> Having:
    """Return which nodes have an image."""
    wanted = full_name(image)
    names = {node.metadata.name: _images(node) for node in nodes}
    have = tuple(name for name, images in names.items() if wanted in images)
    lack = tuple(
        node.metadata.name
        for node in nodes
        if node.metadata.name not in have and len(node.status.images or []) < _MOST_LISTED
    )
    return Having(len(nodes), have, lack)


def _images(node: Any) -> set[str]:
    return {full_name(name) for each in node.status.images or [] for name in each.names or []}


def full_name(image: str) -> str:
    """Return an image's name with what is left out where it is Docker's (distribution/reference)."""
    name, at, digest = image.partition("@")
    if not _registry(name):
        name = f"{_DOCKER_HUB}/{name}" if "/" in name else f"{_DOCKER_HUB}/library/{name}"
    if not at and ":" not in name.rpartition("/")[2]:
        name += ":latest"
    return f"{name}{at}{digest}"


def from_registry(image: str) -> bool:
    """Whether a node could pull an image by this name: all others are in Docker's own library, ours never."""
    return "/" in image


def _registry(image: str) -> str:
    """Return the registry that an image's name begins with; empty where it names none."""
    first, slash, _ = image.partition("/")
    return first if slash and (first == "localhost" or "." in first or ":" in first) else ""
