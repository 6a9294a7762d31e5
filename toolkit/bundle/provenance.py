"""Where a bundle came from: an in-toto statement with SLSA's provenance, written once the tree is finished.

`python3 -m toolkit.bundle.provenance BUNDLE [GEMS]` is what a Dockerfile's stage runs. The same packages and
sources give the same bytes: no time, host, address or path is in it. docs/bundle.md has the schema.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import toolkit
from toolkit.bundle import papers, sbom
from toolkit.bundle.assemble import INVENTORY
from toolkit.bundle.contents import SUITE
from toolkit.bundle.sources import HERE, all_files
from toolkit.bundle.tree import normalise, sha256

BUILD_TYPE = "urn:barescan:bundle:1"
"""The process in docs/bundle.md, "How it is built"; counted up when its parameters change."""
BUILDER = "urn:barescan:bundle-builder"


def describe(bundle: Path, gems: Path | None) -> None:
    """Write bill of materials and provenance in place of the inventory, and normalise the tree.

    `gems` is the directory that the gems came from: where it has a gem's archive, its hash is recorded.
    """
    inventory = json.loads((bundle / INVENTORY).read_text())
    (bundle / INVENTORY).unlink()
    manifest = json.loads((bundle / papers.MANIFEST).read_text())
    inventory["own"][papers.MANIFEST] = sha256(bundle / papers.MANIFEST)  # was written after the inventory
    for gem in inventory["gems"]:
        gem["sha256"] = _gem_hash(gems, gem["full_name"])
    (bundle / papers.SBOM).write_text(sbom.text(inventory, manifest))
    statement = _statement(bundle, inventory, manifest)
    (bundle / papers.PROVENANCE).write_text(json.dumps(statement, indent=1, sort_keys=True) + "\n")
    normalise(bundle)


def _gem_hash(gems: Path | None, name: str) -> str:
    """Return the hash of a gem's archive, which a GEM_HOME keeps in cache/; empty where there is none."""
    places = [gems / f"{name}.gem", gems / "cache" / f"{name}.gem"] if gems else []
    return next((sha256(path) for path in places if path.is_file()), "")


def _statement(bundle: Path, inventory: dict[str, Any], manifest: dict[str, Any]) -> dict[str, Any]:
    tree = papers.entries(bundle)
    return {
        "_type": papers.STATEMENT,
        "subject": [
            {"name": "barescan-bundle", "digest": papers.digests(tree)},
            {"name": papers.SBOM, "digest": {"sha256": papers.files(tree)[papers.SBOM]}},
        ],
        "predicateType": papers.PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "architecture": manifest["architecture"],
                    "gems": bool(inventory["gems"]),
                    "suite": SUITE,
                },
                "internalParameters": {"drift": manifest["drift"]},
                "resolvedDependencies": [*_packages(inventory), *_sources()],
            },
            "runDetails": {"builder": {"id": BUILDER, "version": {"barescan": toolkit.__version__}}},
        },
    }


def _packages(inventory: dict[str, Any]) -> Iterator[dict[str, Any]]:
    purls = [(each, sbom.package_purl(each)) for each in inventory["packages"]]
    purls += [(each, sbom.gem_purl(each)) for each in inventory["gems"]]
    for entry, purl in purls:
        found = {"name": entry["name"], "uri": purl.to_string()}
        yield found | ({"digest": {"sha256": entry["sha256"]}} if entry["sha256"] else {})


def _sources() -> Iterator[dict[str, Any]]:
    for path in all_files():
        name = f"toolkit/bundle/{path.relative_to(HERE).as_posix()}"
        yield {"name": name, "digest": {"sha256": sha256(path)}}


if __name__ == "__main__":
    describe(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
