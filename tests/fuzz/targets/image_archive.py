"""Whole archives: `docker save`, an OCI layout; and the JSON of a layout directory, one document a line."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from random import Random

from tests.fuzz import archives
from tests.fuzz.harness import Outcome, Target, mutate_json
from tests.fuzz.targets.image_layer import stage_file
from tests.runtimes.image_builders import OCI, Layout, config, digest, entry, layer, saved

_LAYER = layer(entry("etc/", b""), entry("etc/x", b"x"))
_TAR = OCI.format("layer.v1.tar")
_MANIFEST_TYPE = OCI.format("manifest.v1+json")
_DOCUMENTS = b"documents\n"


def _documents() -> bytes:
    """Return index, manifest, configuration and manifest.json; `run` puts sizes and digests in."""
    about = {"mediaType": OCI.format("config.v1+json"), "digest": "CONFIG", "size": 0}
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST_TYPE,
        "config": about,
        "layers": [{"mediaType": _TAR, "digest": digest(_LAYER), "size": len(_LAYER)}],
    }
    notes = {"org.opencontainers.image.ref.name": "image"}
    index = {
        "manifests": [{"mediaType": _MANIFEST_TYPE, "digest": "MANIFEST", "size": 0, "annotations": notes}]
    }
    docker = [
        {"Config": "config.json", "RepoTags": ["a:1"], "Layers": [f"blobs/sha256/{digest(_LAYER)[7:]}"]}
    ]
    return _DOCUMENTS + b"\n".join(
        json.dumps(each).encode() for each in (index, manifest, config(_LAYER), docker)
    )


def _named(content: bytes, word: str, other: bytes) -> bytes:
    """Put digest and size of a document where another one names it, as its maker would."""
    named = content.replace(
        f'"{word}", "size": 0'.encode(), f'"{digest(other)}", "size": {len(other)}'.encode()
    )
    return named.replace(f'"{word}"'.encode(), f'"{digest(other)}"'.encode())


def _lay_out(place: Path, data: bytes) -> None:
    store = place / "blobs" / "sha256"
    store.mkdir(parents=True)
    index, manifest, about, docker, *_ = [*data.removeprefix(_DOCUMENTS).split(b"\n"), b"", b"", b"", b""]
    manifest = _named(manifest, "CONFIG", about)
    index = _named(index, "MANIFEST", manifest)
    for blob in (_LAYER, manifest, about):
        (store / digest(blob)[7:]).write_bytes(blob)
    (place / "config.json").write_bytes(about)
    if index:
        (place / "index.json").write_bytes(index)
        (place / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    if docker:
        (place / "manifest.json").write_bytes(docker)


def run(data: bytes) -> Outcome:
    """Read an image up to the point where it would be unpacked, by each selector that could mean it."""
    with tempfile.TemporaryDirectory(prefix="barescan-fuzz-") as folder:
        place = Path(folder)
        path = place / "image"
        if data.startswith(_DOCUMENTS):
            _lay_out(path, data)
        else:
            path.write_bytes(data)
        (place / "work").mkdir()
        image, _ = stage_file(path, place / "work")
    json.dumps(image.facts).encode()
    assert len(json.dumps(image.facts)) < 100_000, "facts that nobody can read"
    return Outcome.TAKEN


def seeds() -> list[bytes]:
    with tempfile.TemporaryDirectory(prefix="barescan-fuzz-") as folder:
        place = Path(folder)
        made = Layout(place / "layout")
        made.add(made.image(_LAYER), "image")
        whole = [
            made.tar(place / "oci.tar"),
            made.tar(place / "oci.tar.gz", "w:gz"),
            saved(place / "d.tar", _LAYER),
        ]
        documents = _documents()
        by_docker = _DOCUMENTS + b"\n" + documents.removeprefix(_DOCUMENTS).split(b"\n", 1)[1]
        return [documents, by_docker, *(path.read_bytes() for path in whole)]


def mutate(data: bytes, random: Random) -> bytes:
    if not data.startswith(_DOCUMENTS):
        return archives.mutate(data, random)
    parts = data.removeprefix(_DOCUMENTS).split(b"\n")
    place = random.randrange(len(parts))
    parts[place] = mutate_json(parts[place], random)
    return _DOCUMENTS + b"\n".join(parts)


TARGET = Target(run, seeds, mutate)
