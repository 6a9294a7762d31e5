"""Targets of each kind with the same hostile tree, and a host that has something to lose."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from tests.hostile.trees import ways
from tests.runtimes import image_builders

Plant = Callable[[Path], None]
Planted = Callable[[str, Plant], tuple[str, Path]]


@pytest.fixture
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of this host that is in no target."""
    place = tmp_path_factory.mktemp("host") / "secret"
    place.write_text(f"{ways.SECRET}\n")
    return place


@pytest.fixture
def planted(container, tmp_path) -> Planted:
    """Plant something in a tree, and give the URI of a target of a kind with it, and where a host's script
    finds that tree: `pid` (a container), `rootfs` or `image`.
    """

    def make(kind: str, plant: Plant) -> tuple[str, Path]:
        if kind == "pid":
            target = container(prepare=plant)
            return target.uri, Path(f"/proc/{target.pid}/root")
        tree = ways.empty(tmp_path / "tree")
        plant(tree)
        if kind == "rootfs":
            return f"rootfs://{tree}", tree
        packed = BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
            tar.add(tree, ".")
        return f"image://{image_builders.layout(tmp_path / 'image', packed.getvalue())}", tree

    return make
