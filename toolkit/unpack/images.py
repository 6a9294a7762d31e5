"""What an archive or layout says its image is: manifest, configuration, layers; the layers unproved."""

from __future__ import annotations

import hashlib
import json
import platform
import posixpath
import re
from dataclasses import dataclass
from typing import Any

from toolkit.errors import CallError, ScanError
from toolkit.reports.text import visible
from toolkit.unpack.blobs import Blobs
from toolkit.unpack.limits import MAX_JSON_BYTES, MAX_LAYERS

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_HEX_NAME = re.compile(r"(?:blobs/sha256/)?([0-9a-f]{64})(?:\.json)?")
_INDEXES = {
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
}
_MANIFESTS = {
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
}
_LAYERS = re.compile(
    r"application/vnd\.oci\.image\.layer\.(?:nondistributable\.)?v1\.tar(?:\+gzip|\+zstd)?"
    r"|application/vnd\.docker\.image\.rootfs\.(?:foreign\.)?diff\.tar(?:\.gzip|\.zstd)?"
)
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
_DEEPEST_INDEX = 4
_LONGEST_NAME, _MOST_NAMES = 500, 20
_ANEW = "save the image anew; if it stays so, treat it as hostile"


@dataclass(frozen=True)
class Layer:
    """A layer as it is named: the blob's file, its digest and size where they are given, its diff_id."""

    name: str
    diff_id: str
    digest: str | None = None
    size: int | None = None


@dataclass(frozen=True)
class Image:
    """One image: its layers from the lowest on, and what is worth recording of it."""

    layers: tuple[Layer, ...]
    facts: dict[str, Any]


def read(blobs: Blobs, selector: str) -> Image:
    """Return the image in an OCI layout or an archive of `docker save`, `selector` (may be empty) naming it.

    Raises CallError when the selector names none or is needed, ScanError for what is no sound image.
    """
    if blobs.has("index.json") and blobs.has("oci-layout"):
        return _Layout(blobs).image(selector)
    if blobs.has("manifest.json"):
        return _saved(blobs, selector)
    raise ScanError(
        f"{blobs.what} is no image: it has neither manifest.json nor oci-layout and index.json",
        "name an archive of `docker save`, or an OCI layout; a file system tree goes by rootfs://",
    )


def host_architecture() -> str:
    """Return this machine's architecture as images name it."""
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


class _Layout:
    """An OCI layout; also what Docker 25 and newer save, which is both."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def image(self, selector: str) -> Image:
        index = _json(self._blobs.small("index.json"), f"index.json in {self._blobs.what}")
        return self._choose(index, selector, _DEEPEST_INDEX)

    def _choose(self, index: dict[str, Any], selector: str, depth: int) -> Image:
        found = [each for each in _dicts(index.get("manifests")) if not _is_attestation(each)]
        names = sorted({name for each in found for name in _names(each)})
        if selector:
            found = [each for each in found if selector in _names(each)]
            if not found:
                raise _no_such(self._blobs.what, selector, names)
        if len(_digests(found)) > 1:
            found = self._for_this_host(found, names)
        if not found:
            raise ScanError(f"{self._blobs.what} holds no image", _ANEW)
        descriptor = found[0]
        if depth == 0:
            raise ScanError("the image's index leads to ever more indexes", _ANEW)
        content = document(self._blobs, descriptor)
        manifest = _json(content, "a manifest")
        kind = _string(manifest.get("mediaType")) or _string(descriptor.get("mediaType"))
        if kind in _INDEXES or "manifests" in manifest:
            return self._choose(manifest, "", depth - 1)
        if kind not in _MANIFESTS:
            raise ScanError(
                f"the image's manifest is of the unknown type {visible(kind, 80)!r}", "save it in OCI format"
            )
        return self._from_manifest(manifest, _string(descriptor.get("digest")), _names(descriptor))

    def _for_this_host(self, found: list[dict[str, Any]], names: list[str]) -> list[dict[str, Any]]:
        """Return the one descriptor that is for this host; raises when there is none or more."""
        wanted = f"linux/{host_architecture()}"
        fitting = [each for each in found if _platform(each).startswith(wanted)]
        if len(_digests(fitting)) == 1:
            return fitting
        there = sorted({_platform(each) for each in found} - {""})
        if there and not fitting:
            raise ScanError(
                f"the image is for {visible(', '.join(there), 300)}, not for this host's {wanted}",
                "save the one platform that you mean, such as: skopeo copy --override-arch ARCH …",
            )
        raise _ambiguous(self._blobs.what, names)

    def _from_manifest(self, manifest: dict[str, Any], digest: str, names: list[str]) -> Image:
        config_at = manifest.get("config")
        if not isinstance(config_at, dict):
            raise ScanError("the image's manifest names no configuration", _ANEW)
        config = _Config(document(self._blobs, config_at))
        descriptors = _dicts(manifest.get("layers"))
        layers = []
        for descriptor, diff_id in zip(descriptors, config.diff_ids(len(descriptors)), strict=True):
            kind = _string(descriptor.get("mediaType"))
            if not _LAYERS.fullmatch(kind):
                raise ScanError(
                    f"a layer of the image is of the unknown type {visible(kind, 80)!r}",
                    "save the image with plain, gzip or zstd layers that are not encrypted",
                )
            layer_digest, size = named(descriptor)
            layers.append(Layer(blob_name(layer_digest), diff_id, layer_digest, size))
        facts = {"manifest_digest": digest, **config.facts(), "names": names}
        return Image(tuple(layers), facts)


def document(blobs: Blobs, descriptor: dict[str, Any]) -> bytes:
    """Return a small blob, proved to be the one that the descriptor means; raises ScanError otherwise."""
    digest, size = named(descriptor)
    if size > MAX_JSON_BYTES:
        raise ScanError(f"the blob {digest} is said to have {size} bytes", "is it JSON?")
    content = blobs.small(blob_name(digest))
    if len(content) != size or hash_of(digest, content) != digest:
        raise ScanError(f"the blob {digest} is not what its digest says", _ANEW)
    return content


def hash_of(like: str, content: bytes) -> str:
    """Return the digest of `content` by the algorithm of another digest."""
    algorithm = like.partition(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def _saved(blobs: Blobs, selector: str) -> Image:
    """Return the image of an archive of `docker save`, by its manifest.json."""
    images = _dicts(_json_value(blobs.small("manifest.json"), f"manifest.json in {blobs.what}"))
    names = sorted({name for each in images for name in _strings(each.get("RepoTags"))})
    if selector:
        images = [each for each in images if selector in _strings(each.get("RepoTags"))]
        if not images:
            raise _no_such(blobs.what, selector, names)
    if not images:
        raise ScanError(f"{blobs.what} holds no image", _ANEW)
    if len({_string(each.get("Config")) for each in images}) > 1:
        raise _ambiguous(blobs.what, names)
    manifest = images[0]
    name = posixpath.normpath(_string(manifest.get("Config")) or "?")
    config = _Config(blobs.small(name))
    said = _HEX_NAME.fullmatch(name)
    if said and f"sha256:{said[1]}" != config.digest:
        raise ScanError(f"the image's configuration {name} is not what its name says", _ANEW)
    files = _strings(manifest.get("Layers"))
    layers = tuple(
        Layer(file, diff_id, _digest_in_name(file))
        for file, diff_id in zip(files, config.diff_ids(len(files)), strict=True)
    )
    names = [each[:_LONGEST_NAME] for each in _strings(manifest.get("RepoTags"))[:_MOST_NAMES]]
    return Image(layers, {**config.facts(), "names": names})


def _digest_in_name(file: str) -> str | None:
    found = re.fullmatch(r"blobs/sha256/([0-9a-f]{64})", file)
    return f"sha256:{found[1]}" if found else None


class _Config:
    """An image's configuration."""

    def __init__(self, content: bytes) -> None:
        self.digest = hash_of("sha256", content)
        self._content = _json(content, "the image's configuration")
        system = _string(self._content.get("os")) or "linux"
        if system != "linux":
            raise ScanError(f"the image is for {system[:40]!r}", "barescan reads Linux images only")

    def diff_ids(self, count: int) -> list[str]:
        """Return the layers' diff_ids, `count` of them; raises ScanError when they don't fit the manifest."""
        root = self._content.get("rootfs")
        diff_ids = _strings(root.get("diff_ids")) if isinstance(root, dict) else []
        if len(diff_ids) != count or not all(map(_DIGEST.fullmatch, diff_ids)):
            raise ScanError("the image's manifest and configuration name different layers", _ANEW)
        if not diff_ids:
            raise ScanError("the image has no layer", "there is nothing to scan in it")
        if count > MAX_LAYERS:
            raise ScanError(f"the image has {count} layers, above {MAX_LAYERS}", _ANEW)
        return diff_ids

    def facts(self) -> dict[str, Any]:
        architecture = _string(self._content.get("architecture"))[:40]
        facts = {
            "config_digest": self.digest,
            "os": "linux",
            "architecture": architecture,
            "created": _string(self._content.get("created"))[:40],
            "layers": self._content["rootfs"]["diff_ids"],
        }
        if architecture != host_architecture():
            facts["not_for_this_host"] = host_architecture()
        return facts


def _json(content: bytes, what: str) -> dict[str, Any]:
    value = _json_value(content, what)
    if not isinstance(value, dict):
        raise ScanError(f"{what} is no JSON object", _ANEW)
    return value


def _json_value(content: bytes, what: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise ScanError(f"{what} is not JSON", _ANEW) from None


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _strings(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _names(descriptor: dict[str, Any]) -> list[str]:
    notes = descriptor.get("annotations")
    return (
        [notes[key][:_LONGEST_NAME] for key in _NAMES if _string(notes.get(key))]
        if isinstance(notes, dict)
        else []
    )


def _digests(descriptors: list[dict[str, Any]]) -> set[str]:
    return {_string(each.get("digest")) for each in descriptors}


def _is_attestation(descriptor: dict[str, Any]) -> bool:
    """Return whether this is what BuildKit adds beside an image: provenance, not an image."""
    notes = descriptor.get("annotations")
    return isinstance(notes, dict) and "vnd.docker.reference.type" in notes


def _platform(descriptor: dict[str, Any]) -> str:
    said = descriptor.get("platform")
    if not isinstance(said, dict):
        return ""
    parts = [_string(said.get(key))[:40] for key in ("os", "architecture", "variant")]
    return "/".join(part for part in parts if part)


def named(descriptor: dict[str, Any]) -> tuple[str, int]:
    """Return digest and size that a descriptor gives; raises ScanError where it gives none that can be."""
    digest, size = _string(descriptor.get("digest")), descriptor.get("size")
    if not _DIGEST.fullmatch(digest) or not isinstance(size, int) or not 0 <= size < 1 << 63:
        raise ScanError(f"the image names a blob without a usable digest or size: {digest[:80]!r}", _ANEW)
    return digest, size


def blob_name(digest: str) -> str:
    """Return where a layout keeps the blob of this digest."""
    algorithm, _, value = digest.partition(":")
    return f"blobs/{algorithm}/{value}"


def _no_such(what: str, selector: str, names: list[str]) -> CallError:
    held = _listed(names) or "no names"
    return CallError(f"{what} holds no image {selector!r}", f"it holds {held}")


def _listed(names: list[str]) -> str:
    return visible(", ".join(names[:_MOST_NAMES]), 600)


def _ambiguous(what: str, names: list[str]) -> CallError:
    held = _listed(names) or "none of them has a name: save the one that you mean"
    return CallError(f"{what} holds more than one image", f"write image://PATH#NAME with one of: {held}")
