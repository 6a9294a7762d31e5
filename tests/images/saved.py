"""Saved images made by hand, whole or tampered with, and an engine that only remembers what it was given."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docker.errors import ImageNotFound

from toolkit.bundle.assemble import INVENTORY
from toolkit.bundle.provenance import describe
from toolkit.bundle.tree import digest, files, sha256
from toolkit.images.content import START
from toolkit.images.layout import TREE, lay_out

Member = tuple[tarfile.TarInfo, bytes]
Change = Callable[[list[Member]], Iterable[Member]]


def small_bundle(place: Path) -> Path:
    """A tree with what a bundle's digest has to tell apart: programs, files, links, names that sort oddly."""
    for name, content, mode in (
        ("bin/sh", "#!", 0o755),
        ("lib/a/z", "deep", 0o644),
        ("lib/a-b", "beside", 0o644),
        ("lib/ld-linux.so", "loader", 0o755),
    ):
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(mode)
    (place / "lib" / "loader").symlink_to("ld-linux.so")
    (place / "lib" / "dir-link").symlink_to("a")
    (place / "empty").mkdir()
    manifest = {"format": 1, "architecture": "x86_64", "drift": {}, "sha256": digest(place)}
    own = {path.relative_to(place).as_posix(): sha256(path) for path in files(place) if not path.is_symlink()}
    package = {
        "name": "bash",
        "version": "5.2-1",
        "architecture": "amd64",
        "sha256": "ab" * 32,
        "licences": ["GPL-3+"],
        "files": {"bin/sh": own.pop("bin/sh")},
    }
    (place / "bundle.json").write_text(json.dumps(manifest))
    (place / INVENTORY).write_text(json.dumps({"packages": [package], "gems": [], "own": own}))
    describe(place, None)
    return place


def member(name: str, content: bytes = b"", mode: int = 0o644) -> Member:
    about = tarfile.TarInfo(name)
    about.size, about.mode = len(content), mode
    return about, content


@dataclass
class Saved:
    """What `docker save` would write for a small auditor image; change a part before `archive` is called."""

    scratch: Path
    members: list[Member] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=lambda: list(START))
    architecture: str = "amd64"
    zipped: bool = False
    diff_id: str = ""
    extra_layers: int = 0

    def __post_init__(self) -> None:
        bundle = small_bundle(self.scratch / "bundle")
        self.labels = lay_out(bundle, self.scratch / "out")
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as layer:
            layer.add(self.scratch / "out" / TREE / "barescan", "barescan")
        packed.seek(0)
        with tarfile.open(fileobj=packed) as layer:
            for each in layer:
                file = layer.extractfile(each) if each.isreg() else None
                self.members.append((each, file.read() if file else b""))

    def replace(self, name: str, content: bytes) -> None:
        """Give one file of the image another content."""
        self.members = [
            member(name, content, about.mode) if about.name == name else (about, old)
            for about, old in self.members
        ]

    def archive(self, tag: str = "small:1") -> bytes:
        layer = _tar(self.members)
        diff_id = self.diff_id or f"sha256:{hashlib.sha256(layer).hexdigest()}"
        config = {
            "architecture": self.architecture,
            "config": {"Labels": self.labels, "Entrypoint": self.entrypoint},
            "rootfs": {"type": "layers", "diff_ids": [diff_id] * (1 + self.extra_layers)},
        }
        layers = ["l/layer.tar"] * (1 + self.extra_layers)
        manifest = [{"Config": "c.json", "RepoTags": [tag], "Layers": layers}]
        content = gzip.compress(layer, mtime=0) if self.zipped else layer
        return _tar(
            [
                member("l/layer.tar", content),
                member("c.json", json.dumps(config).encode()),
                member("manifest.json", json.dumps(manifest).encode()),
            ]
        )


def _tar(members: Iterable[Member]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for about, content in members:
            archive.addfile(about, io.BytesIO(content))
    return packed.getvalue()


class Engine:
    """Has images by name, and remembers which archives it was to load."""

    def __init__(self, images: dict[str, bytes], architecture: str = "amd64") -> None:
        self.saved = images
        self.architecture = architecture
        self.loaded: list[bytes] = []
        self.found: list[Any] = []
        self.removed: list[str] = []
        self.images = self.api = self
        self.timeout = 0

    def version(self) -> dict[str, Any]:
        return {"Arch": self.architecture}

    def get(self, name: str) -> None:
        if name not in self.saved:
            raise ImageNotFound(name)

    def get_image(self, name: str) -> Iterator[bytes]:
        content = self.saved[name]
        yield content[:1000]
        yield content[1000:]

    def load(self, file: Any) -> list[Any]:
        self.loaded.append(file.read())
        return self.found

    def remove(self, name: str, **_options: Any) -> None:
        self.removed.append(name)
