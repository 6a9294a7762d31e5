"""The bill of materials."""

from __future__ import annotations

import json
from typing import Any

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
GEM = {
    "name": "thor",
    "version": "1.3.2",
    "licenses": ["MIT"],
    "full_name": "thor-1.3.2",
    "files": {},
    "sha256": "cd" * 32,
}


def make(**other: Any) -> str:
    inventory = {"packages": [PACKAGE], "gems": [GEM], "own": {"bin/which": HASH}}
    return sbom.text(inventory, {"format": 1, "sha256": HASH} | other)


def test_packages_gems_and_own_files_are_listed() -> None:
    bom = json.loads(make())
    assert bom["bomFormat"] == "CycloneDX"
    found = {entry["name"]: entry for entry in bom["components"]}
    assert found["bash"]["purl"] == "pkg:deb/debian/bash@5.2.37-2%2Bb10?arch=amd64&distro=trixie"
    assert found["bash"]["hashes"] == [{"alg": "SHA-256", "content": HASH}]
    assert [entry["license"]["name"] for entry in found["bash"]["licenses"]] == ["GFDL-NIV-1.3", "GPL-3+"]
    assert [entry["name"] for entry in found["bash"]["components"]] == ["bin/bash"]
    assert found["thor"]["purl"] == "pkg:gem/thor@1.3.2"
    assert found["thor"]["hashes"] == [{"alg": "SHA-256", "content": "cd" * 32}]
    assert found["bin/which"]["type"] == "file"


def test_same_inventory_gives_the_same_bytes() -> None:
    assert make() == make()
    assert make() != make(sha256="cd" * 32)
