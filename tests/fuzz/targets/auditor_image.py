"""A saved auditor image: the archive as it is, or its only layer, around which an archive is made."""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import json
import tarfile
import tempfile
import zlib
from pathlib import Path

from tests.fuzz import archives
from tests.fuzz.harness import Outcome, Target
from tests.images.saved import Saved
from toolkit.auditor import AGENT_LABEL, BUNDLE_LABEL
from toolkit.images.content import START, check_auditor, describe

LAYER = b"layer\n"


@functools.cache
def honest() -> tuple[bytes, bytes, tuple[tuple[str, str], ...]]:
    """Return an archive, the layer in it and the labels of the image."""
    with tempfile.TemporaryDirectory(prefix="barescan-fuzz-") as folder:
        saved = Saved(Path(folder))
        # The agent's sources without their content would be too many bytes to spoil.
        whole = saved.archive()
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        layer = archive.extractfile("l/layer.tar")
        assert layer
        return whole, layer.read(), tuple(sorted(saved.labels.items()))


def around(layer: bytes) -> bytes:
    """Return an archive of `docker save` with this layer, whose digest is right."""
    plain = layer
    if layer.startswith(b"\x1f\x8b"):
        try:
            plain = gzip.GzipFile(fileobj=io.BytesIO(layer)).read(64 << 20)
        except (OSError, EOFError, zlib.error):
            plain = b""
    config = {
        "architecture": "amd64",
        "config": {"Labels": dict(honest()[2]), "Entrypoint": list(START)},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(plain).hexdigest()}"]},
    }
    manifest = [{"Config": "c.json", "RepoTags": ["small:1"], "Layers": ["l/layer.tar"]}]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in (
            ("l/layer.tar", layer),
            ("c.json", json.dumps(config).encode()),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return packed.getvalue()


def run(data: bytes) -> Outcome:
    """Describe and check an image; one that passes for an auditor must have the labels' very content."""
    file = io.BufferedReader(io.BytesIO(around(data.removeprefix(LAYER)) if data.startswith(LAYER) else data))
    about = describe(file)
    assert all(isinstance(tag, str) for tag in about.tags)
    assert all(isinstance(word, str) for pair in about.labels.items() for word in pair)
    checked = check_auditor(file)
    assert checked.agent_sha256 == checked.labels[AGENT_LABEL]
    assert checked.bundle_sha256 == checked.labels[BUNDLE_LABEL]
    return Outcome.TAKEN


def seeds() -> list[bytes]:
    whole, layer, _ = honest()
    return [whole, LAYER + layer, LAYER + gzip.compress(layer, mtime=0)]


TARGET = Target(
    run,
    seeds,
    lambda data, random: (
        LAYER + archives.mutate(data.removeprefix(LAYER), random)
        if data.startswith(LAYER)
        else archives.mutate(data, random)
    ),
)
