"""The bundle's bill of materials: CycloneDX from the inventory taken while it was put together."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from toolkit.bundle.tree import EPOCH, digest

INVENTORY = "inventory.json"
NAME = "sbom.cdx.json"


def write(bundle: Path) -> None:
    """Write sbom.cdx.json in place of the inventory; the same inventory gives the same bytes."""
    inventory = json.loads((bundle / INVENTORY).read_text())
    manifest = json.loads((bundle / "bundle.json").read_text())
    main = Component(name="barescan-bundle", type=ComponentType.APPLICATION, version=str(manifest["format"]))
    main.bom_ref.value = "bundle"
    bom = Bom(
        components=sorted(components(inventory), key=lambda component: str(component.bom_ref.value)),
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"barescan:{digest(bundle)}"),
    )
    bom.metadata.component = main
    bom.metadata.timestamp = datetime.fromtimestamp(EPOCH, UTC)
    bom.register_dependency(main, bom.components)
    text = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string()
    (bundle / NAME).write_text(text + "\n")
    (bundle / INVENTORY).unlink()


def components(inventory: dict[str, Any]) -> Iterable[Component]:
    """Yield one component per Debian package and per gem, its files inside it, and one per file of ours."""
    for entry in inventory["packages"]:
        purl = PackageURL("deb", "debian", entry["name"], entry["version"], {"arch": entry["architecture"]})
        yield _component(entry, purl, entry["licences"], entry["sha256"])
    for entry in inventory["gems"]:
        yield _component(
            entry, PackageURL("gem", None, entry["name"], entry["version"]), entry["licenses"], ""
        )
    for path, sha256 in sorted(inventory["own"].items()):
        yield _file(path, sha256)


def _component(entry: dict[str, Any], purl: PackageURL, licences: Iterable[str], sha256: str) -> Component:
    return Component(
        name=entry["name"],
        version=entry["version"],
        type=ComponentType.LIBRARY,
        purl=purl,
        bom_ref=purl.to_string(),
        licenses=[DisjunctiveLicense(name=name) for name in sorted(set(licences))],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)] if sha256 else [],
        components=[_file(path, content) for path, content in sorted(entry["files"].items())],
    )


def _file(path: str, sha256: str) -> Component:
    return Component(
        name=path,
        type=ComponentType.FILE,
        bom_ref=f"file:{path}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)],
    )
