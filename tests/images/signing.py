"""Keys and signatures by the openssl program, and OCI layouts as `cosign save` makes them of an image."""

from __future__ import annotations

import base64
import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.runtimes.image_builders import digest

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
P256 = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
KINDS: dict[str, tuple[str, ...]] = {
    "p256": P256,
    "p384": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
    "rsa": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
    "rsa1024": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"),
    "ed25519": ("-algorithm", "ED25519"),
}


def openssl(*arguments: str, given: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *arguments], input=given, check=True, capture_output=True).stdout


@dataclass
class Pair:
    """A key pair in files of its own."""

    place: Path
    kind: str = "p256"

    def __post_init__(self) -> None:
        self.place.mkdir(parents=True)
        self.private, self.public = self.place / "cosign.key", self.place / "cosign.pub"
        openssl("genpkey", *KINDS[self.kind], "-out", str(self.private))
        openssl("pkey", "-in", str(self.private), "-pubout", "-out", str(self.public))

    def sign(self, content: bytes) -> str:
        """Return the signature in base64, as cosign writes it."""
        der = openssl("dgst", "-sha256", "-sign", str(self.private), given=content)
        return base64.b64encode(der).decode()

    def fingerprint(self) -> str:
        der = openssl("pkey", "-pubin", "-in", str(self.public), "-outform", "DER")
        return openssl("dgst", "-sha256", "-r", given=der).decode().split()[0]


def payload(manifest_digest: str, reference: str = "registry.example/team/auditor", **critical: Any) -> bytes:
    """Return what cosign signs (its specs/SIGNATURE_SPEC.md, "Simple Signing")."""
    about = {
        "identity": {"docker-reference": reference},
        "image": {"docker-manifest-digest": manifest_digest},
        "type": "cosign container image signature",
        **critical,
    }
    return json.dumps({"critical": about, "optional": None}).encode()


@dataclass
class SignedLayout:
    """An OCI layout as `cosign save` makes it: the image and its signatures side by side in the index."""

    path: Path
    entries: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.path / "blobs/sha256").mkdir(parents=True)
        (self.path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self.write()

    def write(self) -> None:
        (self.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": self.entries}))

    def blob(self, content: bytes, kind: str, **more: Any) -> dict[str, Any]:
        name = digest(content)
        (self.path / "blobs" / name.replace(":", "/")).write_bytes(content)
        return {"mediaType": kind, "digest": name, "size": len(content), **more}

    def listed(self, descriptor: dict[str, Any], kind: str) -> None:
        notes = {"kind": f"dev.cosignproject.cosign/{kind}"}
        self.entries.append(descriptor | {"annotations": notes})
        self.write()

    def manifest(self, config: bytes, layers: list[dict[str, Any]]) -> dict[str, Any]:
        about = self.blob(config, "application/vnd.oci.image.config.v1+json")
        document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": about, "layers": layers}
        return self.blob(json.dumps(document).encode(), MANIFEST)

    def image(self, config: bytes = b"{}", layer: bytes = b"a layer") -> str:
        """Add an image; return the digest of its manifest."""
        descriptor = self.manifest(config, [self.blob(layer, "application/vnd.oci.image.layer.v1.tar")])
        self.listed(descriptor, "image")
        return str(descriptor["digest"])

    def index(self, *configs: bytes) -> str:
        """Add an image for several platforms; return the digest of its index."""
        layer = self.blob(b"a layer", "application/vnd.oci.image.layer.v1.tar")
        inner = [self.manifest(config, [layer]) for config in configs]
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": inner}
        descriptor = self.blob(json.dumps(document).encode(), INDEX)
        self.listed(descriptor, "imageIndex")
        return str(descriptor["digest"])

    def sign(self, pair: Pair, manifest_digest: str, content: bytes | None = None) -> None:
        """Add a signature of the image with this digest."""
        signed = payload(manifest_digest) if content is None else content
        notes = {"dev.cosignproject.cosign/signature": pair.sign(signed)}
        self.listed(self.manifest(b"{}", [self.blob(signed, SIMPLE_SIGNING, annotations=notes)]), "sigs")
