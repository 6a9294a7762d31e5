"""A bundle as one file."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from toolkit.bundle.archive import bundle_size, compressed_size, export
from toolkit.bundle.build import Bundle
from toolkit.bundle.tree import Tree, digest
from toolkit.errors import ScanError

needs_zstd = pytest.mark.skipif(not shutil.which("zstd"), reason="needs zstd")


@pytest.fixture
def small(tmp_path: Path) -> Bundle:
    """A bundle's outline."""
    tree = Tree(tmp_path / "small")
    tree.write("bundle.json", json.dumps({"format": 1}))
    tree.write("bin/program", "x" * 1000, mode=0o755)
    tree.link("bin/alias", "program")
    tree.write("share/scap/content.xml.gz", bytes(range(256)) * 8)
    return Bundle(tree.root, {})


@needs_zstd
def test_export_is_reproducible_and_complete(small: Bundle, tmp_path: Path) -> None:
    export(small, tmp_path / "one.tar.zst")
    (small.path / "bin" / "program").touch()
    export(small, tmp_path / "two.tar.zst")
    assert (tmp_path / "one.tar.zst").read_bytes() == (tmp_path / "two.tar.zst").read_bytes()
    subprocess.run(["tar", "-C", tmp_path, "--zstd", "-xf", tmp_path / "one.tar.zst"], check=True)
    assert digest(tmp_path / "bundle") == digest(small.path)


@needs_zstd
def test_export_to_nowhere_leaves_nothing(small: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="could not be written"):
        export(small, tmp_path / "no" / "such" / "place.tar.zst")


@needs_zstd
def test_sizes_with_and_without_content(small: Bundle) -> None:
    assert bundle_size(small.path) - bundle_size(small.path, content=False) == 2048
    assert compressed_size(small.path) > compressed_size(small.path, content=False)


def test_missing_zstd_is_named(small: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ScanError, match="apt-get install zstd"):
        export(small, tmp_path / "x.tar.zst")
    assert list(tmp_path.glob("*.part")) == []
