"""An image of some kilobytes unpacks to gigabytes, packed once or twice."""

from __future__ import annotations

import gzip
import shutil

import pytest

from tests.runtimes.image_builders import entry, layer, saved
from toolkit.errors import ScanError
from toolkit.runtimes.base import resolve
from toolkit.runtimes.image import ImageRuntime
from toolkit.unpack import limits

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not shutil.which("umoci"), reason="needs umoci (apt-get install umoci)"),
]
SIZE, LIMIT = 64 << 20, "16M"


@pytest.mark.parametrize("times", [1, 2])
def test_it_is_refused_at_the_bound(works, tmp_path, monkeypatch, times):
    archive = saved(tmp_path / "a.tar", layer(entry("zeros", bytes(SIZE)))).read_bytes()
    (tmp_path / "a.tar").unlink()
    bomb = archive
    for _ in range(times):
        bomb = gzip.compress(bomb)
    (tmp_path / "bomb.tar.gz").write_bytes(bomb)
    unpacked = gzip.decompress(gzip.decompress(bomb) if times == 2 else bomb)
    works(len(unpacked) > 500 * len(bomb), "who unpacks it has a thousand times as much")
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    monkeypatch.setenv(limits.BYTES_VARIABLE, LIMIT)
    runtime = resolve(f"image://{tmp_path / 'bomb.tar.gz'}")
    assert isinstance(runtime, ImageRuntime)
    with pytest.raises(ScanError, match=r"more than 16 MiB|no sound tar archive"), runtime.unpacked([], 60):
        pass
    assert list((tmp_path / "scratch").iterdir()) == []
