"""The archive for machines without a registry: as it is, or its manifest, around which one is made."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import tarfile
import tempfile
from pathlib import Path
from random import Random

from tests.fuzz import archives
from tests.fuzz.harness import Outcome, Target, mutate_json
from tests.images.saved import Engine
from toolkit.images import archive

_MANIFEST = b"manifest\n"
_IMAGE = "images/small.tar"
_FILES = {"profiles/one/inspec.yml": b"name: one\n", "profiles/one/controls/a.rb": b"control 'a'\n"}


@functools.cache
def _image() -> tuple[bytes, str]:
    """Return a saved image, which is no auditor, and its identity."""
    config = {"architecture": "amd64", "config": {"Labels": {"a": "b"}}, "rootfs": {"diff_ids": []}}
    about = json.dumps(config).encode()
    manifest = json.dumps([{"Config": "c.json", "RepoTags": ["small:1"], "Layers": []}]).encode()
    return _tar({"c.json": about, "manifest.json": manifest}), f"sha256:{hashlib.sha256(about).hexdigest()}"


def _tar(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as made:
        for name, content in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            made.addfile(about, io.BytesIO(content))
    return packed.getvalue()


def _manifest() -> bytes:
    files = {_IMAGE: _image()[0], **_FILES}
    image = {
        "file": _IMAGE,
        "tags": ["small:1"],
        "id": _image()[1],
        "architecture": "amd64",
        "labels": {"a": "b"},
    }
    manifest = {
        "format": archive.FORMAT,
        "barescan": "1",
        "images": [image],
        "profiles": ["one"],
        "files": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
            for name, content in files.items()
        },
    }
    return json.dumps(manifest).encode()


def around(manifest: bytes) -> bytes:
    """Return an archive with this manifest."""
    return _tar({archive.MANIFEST: manifest, _IMAGE: _image()[0], **_FILES})


def run(data: bytes) -> Outcome:
    """Load an archive into a double of an engine: nothing else than what was made may get there."""
    engine = Engine({})
    with tempfile.TemporaryDirectory(prefix="barescan-fuzz-") as folder:
        place = Path(folder)
        file = place / "a.tar"
        file.write_bytes(around(data.removeprefix(_MANIFEST)) if data.startswith(_MANIFEST) else data)
        try:
            found = archive.load(engine, file, lambda text: None, profiles=place / "there")  # type: ignore[arg-type]
        finally:
            assert {each.name for each in place.iterdir()} <= {"a.tar", "there"}
            assert all(each == _image()[0] for each in engine.loaded), "it loaded what nobody made"
        assert len(found.images) == len(engine.loaded)
        for name in found.profiles:
            assert {each.name for each in (place / "there" / name).iterdir()} <= {"inspec.yml", "controls"}
    return Outcome.TAKEN


def mutate(data: bytes, random: Random) -> bytes:
    if data.startswith(_MANIFEST):
        return _MANIFEST + mutate_json(data.removeprefix(_MANIFEST), random)
    return archives.mutate(data, random)


TARGET = Target(run, lambda: [_MANIFEST + _manifest(), around(_manifest())], mutate)
