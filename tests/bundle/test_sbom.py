"""The bill of materials."""

from __future__ import annotations

import json
from pathlib import Path

from toolkit.bundle import sbom

HASH = "ab" * 32
PACKAGE = {
    "name": "bash",
    "version": "5.2.37-2+b10",
    "architecture": "amd64",
    "sha256": HASH,
    "licences": ["GPL-3+", "GPL-3+", "GFDL-NIV-1.3"],
    "files": {"bin/bash": HASH},
}
GEM = {"name": "thor", "version": "1.3.2", "licenses": ["MIT"], "full_name": "thor-1.3.2", "files": {}}


def make(root: Path) -> str:
    """Write an inventory and turn it into a bill of materials; its text."""
    root.mkdir()
    inventory = {"packages": [PACKAGE], "gems": [GEM], "own": {"bin/which": HASH}}
    (root / sbom.INVENTORY).write_text(json.dumps(inventory))
    (root / "bundle.json").write_text(json.dumps({"format": 1}))
    sbom.write(root)
    return (root / sbom.NAME).read_text()


def test_packages_gems_and_own_files_are_listed(tmp_path: Path) -> None:
    bom = json.loads(make(tmp_path / "bundle"))
    assert bom["bomFormat"] == "CycloneDX"
    found = {entry["name"]: entry for entry in bom["components"]}
    assert found["bash"]["purl"] == "pkg:deb/debian/bash@5.2.37-2%2Bb10?arch=amd64"
    assert found["bash"]["hashes"] == [{"alg": "SHA-256", "content": HASH}]
    assert [entry["license"]["name"] for entry in found["bash"]["licenses"]] == ["GFDL-NIV-1.3", "GPL-3+"]
    assert [entry["name"] for entry in found["bash"]["components"]] == ["bin/bash"]
    assert found["thor"]["purl"] == "pkg:gem/thor@1.3.2"
    assert found["bin/which"]["type"] == "file"


def test_same_inventory_gives_the_same_bytes(tmp_path: Path) -> None:
    assert make(tmp_path / "one") == make(tmp_path / "two")


def test_inventory_makes_way(tmp_path: Path) -> None:
    make(tmp_path / "bundle")
    assert not (tmp_path / "bundle" / sbom.INVENTORY).exists()
