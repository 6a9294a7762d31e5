"""One layer of an image whose digests are all right: only what is in it can be wrong."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import shutil
import subprocess
import tempfile
import time
import zlib
from pathlib import Path

from tests.fuzz import archives
from tests.fuzz.harness import Outcome, Target
from tests.runtimes.image_builders import saved
from toolkit.unpack import blobs, images, stage
from toolkit.unpack.limits import Budget

_BYTES = 64 << 20
ZSTD = b"\x28\xb5\x2f\xfd"


def stage_file(path: Path, folder: Path, selector: str = "") -> tuple[images.Image, list[str]]:
    """Read an image as a scan does until it would be unpacked; return it and the digests that were proved."""
    budget = Budget(time.monotonic() + 30, lambda text: None, _BYTES)
    spool = folder / "spool"
    spool.mkdir()
    with contextlib.ExitStack() as stack:
        source = blobs.opened(path, spool, budget, stack)
        image = images.read(source, selector)
        stage.stage(image, source, folder / "layout", budget)
    store = folder / "layout/blobs/sha256"
    for blob in store.iterdir():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    return image, [layer.diff_id for layer in image.layers]


def _plain(data: bytes) -> bytes:
    """Return what a layer unpacks to, as far as it does."""
    if data.startswith(b"\x1f\x8b"):
        with contextlib.suppress(OSError, EOFError, zlib.error):
            return gzip.GzipFile(fileobj=io.BytesIO(data)).read(_BYTES)
    if data.startswith(ZSTD) and (program := shutil.which("zstd")):
        return subprocess.run([program, "-dcq"], input=data, capture_output=True, check=False).stdout
    return data


def run(data: bytes) -> Outcome:
    """Stage an image of this one layer; what is accepted stays inside by any reader's judgement."""
    with tempfile.TemporaryDirectory(prefix="barescan-fuzz-") as folder:
        place = Path(folder)
        path = saved(place / "image.tar", _plain(data), members={"0/layer.tar": data})
        (place / "work").mkdir()
        _, proved = stage_file(path, place / "work")
        assert len(proved) == 1
    return Outcome.TAKEN


def seeds() -> list[bytes]:
    plain = archives.tree()
    packed = [plain, gzip.compress(plain, mtime=0)]
    if program := shutil.which("zstd"):
        packed.append(subprocess.run([program, "-cq"], input=plain, capture_output=True, check=True).stdout)
    return packed


TARGET = Target(run, seeds, archives.mutate)
