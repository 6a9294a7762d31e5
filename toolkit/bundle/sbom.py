"""The bundle's bill of materials: CycloneDX from the inventory taken while it was put together."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from toolkit.bundle.contents import SUITE
from toolkit.bundle.tree import EPOCH


def text(inventory: dict[str, Any], manifest: dict[str, Any]) -> str:
    """Return sbom.cdx.json; the same inventory and manifest (`bundle.json`) give the same text."""
    main = Component(name="barescan-bundle", type=ComponentType.APPLICATION, version=str(manifest["format"]))
    main.bom_ref.value = "bundle"
    bom = Bom(
        components=sorted(components(inventory), key=lambda component: str(component.bom_ref.value)),
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"barescan:{manifest['sha256']}"),
    )
    bom.metadata.component = main
    bom.metadata.timestamp = datetime.fromtimestamp(EPOCH, UTC)
    bom.register_dependency(main, bom.components)
    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string() + "\n"


def package_purl(entry: dict[str, Any]) -> PackageURL:
    """Return the package URL of a Debian package, with its suite."""
    qualifiers = {"arch": entry["architecture"], "distro": SUITE}
    return PackageURL("deb", "debian", entry["name"], entry["version"], qualifiers)


def gem_purl(entry: dict[str, Any]) -> PackageURL:
    """Return the package URL of a gem."""
    return PackageURL("gem", None, entry["name"], entry["version"])


def components(inventory: dict[str, Any]) -> Iterable[Component]:
    """Yield one component per Debian package and per gem, its files inside it, and one per file of ours."""
    for entry in inventory["packages"]:
        yield _component(entry, package_purl(entry), entry["licences"])
    for entry in inventory["gems"]:
        yield _component(entry, gem_purl(entry), entry["licenses"])
    for path, sha256 in sorted(inventory["own"].items()):
        yield _file(path, sha256)


def _component(entry: dict[str, Any], purl: PackageURL, licences: Iterable[str]) -> Component:
    sha256 = entry["sha256"]
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
