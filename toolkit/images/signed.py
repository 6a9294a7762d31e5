"""Cosign's image signatures: which image a key has signed, and whether it is the one that is here.

A signature is over a small JSON text that names the digest of the image's manifest (sigstore/cosign,
specs/SIGNATURE_SPEC.md, "Simple Signing"). It comes as two files, or in an OCI layout beside the image, as
`cosign save` puts it there. What the manifest names is proved by hash; nothing is fetched.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docker.models.images import Image

from toolkit.errors import ScanError
from toolkit.images.keys import PublicKey, decoded, read_signature
from toolkit.reports.files import read_capped
from toolkit.reports.text import counted, visible
from toolkit.unpack.blobs import Blobs, opened
from toolkit.unpack.images import blob_name, document, named
from toolkit.unpack.limits import Budget
from toolkit.unpack.tar import CHUNK

PAYLOAD_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
_CRITICAL_TYPE = "cosign container image signature"
_ATTESTATION = "application/vnd.dsse.envelope.v1+json"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LARGEST_PAYLOAD = 1 << 20
_MOST_ENTRIES = 1000
_MOST_SIGNATURES = 100
_SECONDS = 600.0
"""The longest that a layout may take to be read."""


@dataclass(frozen=True)
class Signed:
    """One payload and the signature that came with it; nothing of it is believed yet."""

    payload: bytes
    signature: bytes


@dataclass(frozen=True)
class Claim:
    """What the owner of the key has signed."""

    digest: str
    """Of the image's manifest (or index), which names everything else by digest."""
    reference: str
    """The name that was signed along, made safe to show: the signer's word, which cosign ignores."""


@dataclass
class Layout:
    """What an OCI layout holds: signatures, and images by the digest that signatures name."""

    signed: list[Signed] = field(default_factory=list)
    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Digest → descriptor, of what `index.json` itself lists."""
    configurations: dict[str, str] = field(default_factory=dict)
    """Digest of a configuration, which is an engine's image id → digest of the manifest that names it."""


def from_files(payload: Path, signature: Path) -> list[Signed]:
    """Return what `cosign sign --output-payload P --output-signature S` wrote; raises CallError."""
    return [Signed(read_capped(payload, _LARGEST_PAYLOAD, "payload"), read_signature(signature))]


def claims(signed: Iterable[Signed], key: PublicKey) -> list[Claim]:
    """Return what this key has signed; nothing that it has not signed is looked into.

    Raises ScanError when there is no signature by it, or what it signed is no image.
    """
    all_signed = list(signed)
    ours = [
        each for each in all_signed if key.has_signed(hashlib.sha256(each.payload).digest(), each.signature)
    ]
    if not all_signed:
        raise ScanError("there is no signature beside the image", "sign it, or name the --signature")
    if not ours:
        raise ScanError(
            f"{counted(len(all_signed), 'signature')}, none by the key {key.fingerprint}",
            "do not use the image: another key was meant, or what was signed has been changed",
        )
    return [_claim(each.payload) for each in ours]


def _claim(payload: bytes) -> Claim:
    try:
        critical = json.loads(payload)["critical"]
        kind, digest = critical["type"], critical["image"]["docker-manifest-digest"]
        reference = critical["identity"]["docker-reference"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ScanError(
            "what was signed is no payload of an image signature",
            "a file's signature is checked with --file; an image's comes from `cosign sign`",
        ) from None
    if kind != _CRITICAL_TYPE:
        raise ScanError(f"what was signed is of the type {visible(str(kind), 60)!r}", "sign with cosign")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ScanError(f"the signed digest {visible(str(digest), 80)!r} is none", "sign the image anew")
    return Claim(digest, visible(str(reference), 300))


def check_image(image: Image, found: Iterable[Claim], layout: Layout | None = None) -> tuple[Claim, str]:
    """Return the claim that is about this image of an engine, and how that is known.

    An engine knows a manifest's digest only of what was pulled or pushed. Of other images it has an id,
    the digest of the configuration: a layout that holds the signed manifest leads from the one to the other.
    Raises ScanError when no claim is about it.
    """
    found = list(found)
    digests = {str(name).rpartition("@")[2] for name in image.attrs.get("RepoDigests") or ()}
    known = dict.fromkeys(digests, "the engine pulled or pushed it by this digest")
    if layout and (manifest := layout.configurations.get(str(image.id))):
        known.setdefault(manifest, "its id is the configuration that the signed manifest names")
    known.setdefault(str(image.id), "it is the image's id")
    for claim in found:
        if claim.digest in known:
            return claim, known[claim.digest]
    signed = ", ".join(sorted({claim.digest for claim in found}))
    if not digests and not (layout and layout.configurations):
        raise ScanError(
            f"the signature is of {signed}, and the engine knows this image by its id only",
            "it was never pushed or pulled: let --signature name an OCI layout with it (cosign save --dir D)",
        )
    raise ScanError(
        f"the signature is of another image: of {signed}, not of {', '.join(sorted(digests)) or image.id}",
        "do not use the image, or name the signature that belongs to it",
    )


@contextlib.contextmanager
def layout_in(path: Path, tell: Callable[[str], None]) -> Iterator[tuple[Blobs, Layout]]:
    """Yield an OCI layout, a directory or an archive of one, and what it holds; its documents are proved.

    Raises CallError when the path leads to none, ScanError for one that is unsound.
    """
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="barescan-layout-"))
        blobs = opened(path, Path(scratch), Budget(time.monotonic() + _SECONDS, tell), stack)
        if not (blobs.has("index.json") and blobs.has("oci-layout")):
            raise ScanError(
                f"{path} is no OCI layout: it has no index.json and oci-layout",
                "make one with: cosign save --dir D NAME (or skopeo copy docker://NAME oci:D)",
            )
        layout = Layout()
        for descriptor in _listed(_json(blobs.small("index.json"), "index.json"), "manifests"):
            _take(blobs, descriptor, layout)
        yield blobs, layout


def _take(blobs: Blobs, descriptor: dict[str, Any], layout: Layout) -> None:
    manifest = _json(document(blobs, descriptor), "a manifest")
    layers = _listed(manifest, "layers")
    payloads = [layer for layer in layers if layer.get("mediaType") == PAYLOAD_TYPE]
    layout.signed += [_signed(blobs, layer) for layer in payloads[:_MOST_SIGNATURES]]
    if len(layout.signed) > _MOST_SIGNATURES or len(payloads) > _MOST_SIGNATURES:
        raise ScanError(f"{blobs.what} has more than {_MOST_SIGNATURES} signatures", "keep those that count")
    if payloads or any(layer.get("mediaType") == _ATTESTATION for layer in layers):
        return
    digest, _size = named(descriptor)
    layout.images[digest] = descriptor
    for _inner, each in _manifests(blobs, descriptor):
        if isinstance(config := each.get("config"), dict):
            layout.configurations[named(config)[0]] = digest


def _signed(blobs: Blobs, layer: dict[str, Any]) -> Signed:
    if named(layer)[1] > _LARGEST_PAYLOAD:
        raise ScanError(f"a signed payload in {blobs.what} is too large for one", "do not use it")
    notes = layer.get("annotations")
    text = notes.get(SIGNATURE) if isinstance(notes, dict) else None
    try:
        return Signed(document(blobs, layer), decoded(str(text or "")))
    except ValueError:
        raise ScanError(f"a signature in {blobs.what} is no base64", "sign the image anew") from None


def prove(blobs: Blobs, layout: Layout, digest: str) -> int:
    """Check every blob that an image of the layout names against its digest; return how many there are.

    Raises ScanError for one that is missing or has been changed.
    """
    wanted: dict[str, int] = {}
    for descriptor, manifest in _manifests(blobs, layout.images[digest]):
        parts = [*_listed(manifest, "layers")]
        if isinstance(config := manifest.get("config"), dict):
            parts.append(config)
        wanted |= dict(named(each) for each in (descriptor, *parts))
    for name, size in wanted.items():
        _prove(blobs, name, size)
    return len(wanted)


def _prove(blobs: Blobs, digest: str, size: int) -> None:
    algorithm = digest.partition(":")[0]
    found, seen = hashlib.new(algorithm), 0
    with blobs.open(blob_name(digest)) as stream:
        while seen <= size and (data := stream.read(CHUNK)):
            found.update(data)
            seen += len(data)
    if seen != size or f"{algorithm}:{found.hexdigest()}" != digest:
        raise ScanError(f"the blob {digest} is not what its digest says", "do not use the image; get it anew")


def _manifests(blobs: Blobs, descriptor: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield the descriptor with its document, and those of all that an index leads to, each once."""
    waiting, seen = [descriptor], set[str]()
    while waiting:
        each = waiting.pop()
        digest, _size = named(each)
        if digest in seen:
            continue
        seen.add(digest)
        if len(seen) > _MOST_ENTRIES:
            raise ScanError(f"the image's index leads to more than {_MOST_ENTRIES} others", "do not use it")
        content = _json(document(blobs, each), "a manifest")
        yield each, content
        waiting += _listed(content, "manifests")


def _json(content: bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ScanError(f"{what} is no JSON object", "get the layout anew")
    return value


def _listed(content: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    value = content.get(key)
    found = [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
    if len(found) > _MOST_ENTRIES:
        raise ScanError(f"a document lists more than {_MOST_ENTRIES} {key}", "do not use it")
    return found
