"""What `images.verify` and `images.load` check of signatures, and the words in which they tell it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import docker
import requests
from docker.errors import APIError
from docker.models.images import Image

from toolkit.auditor import AGENT_LABEL, BUNDLE_LABEL
from toolkit.bundle import papers
from toolkit.dockers import reason
from toolkit.errors import CallError, ScanError
from toolkit.images import archive, signed
from toolkit.images.content import check_auditor
from toolkit.images.keys import PublicKey, check_file, read_key
from toolkit.images.signed import Claim, Layout

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """What the user gave to check a signature with; each may be missing."""

    key: Path | None = None
    signature: Path | None = None
    payload: Path | None = None

    def check(self) -> None:
        """Raise CallError for a signature that could not be checked, so that nobody takes it for checked."""
        if not self.key and (self.signature or self.payload):
            raise CallError("no key was named to check the signature by", "add --key cosign.pub")
        if self.payload and not self.signature:
            raise CallError("a payload was named without its signature", "add --signature FILE")


def image_signature(image: Image, wanted: Wanted, progress: Progress) -> list[str]:
    """Check that a key has signed this image of an engine; return what was checked, a line each.

    Raises CallError for files that can't be used, ScanError when it has not.
    """
    key = _key(wanted)
    if not wanted.signature:
        raise CallError(
            "no signature was named", "add --signature: a file (with --payload), or an OCI layout"
        )
    if wanted.payload:
        found = signed.claims(signed.from_files(wanted.payload, wanted.signature), key)
        return _told(key, *signed.check_image(image, found))
    _require_layout(wanted.signature)
    with signed.layout_in(wanted.signature, progress) as (_blobs, layout):
        return _told(key, *signed.check_image(image, signed.claims(layout.signed, key), layout))


def image_papers(client: docker.DockerClient, image: Image, progress: Progress) -> list[str]:
    """Hold an engine's image against its labels, bill of materials and provenance; return what was checked.

    Raises ScanError, which names a file that is not what they say.
    """
    with tempfile.TemporaryFile(prefix="barescan-verify-") as saved:
        progress("taking the image from the engine")
        try:
            for chunk in client.api.get_image(str(image.id)):
                saved.write(chunk)
        except (APIError, requests.RequestException) as error:
            raise ScanError(
                f"the engine could not save the image: {reason(error)}", "see the engine's log"
            ) from None
        found = check_auditor(saved)
    return [
        f"bundle sha256:{found.bundle_sha256}, as {BUNDLE_LABEL} says",
        f"agent sha256:{found.agent_sha256}, as {AGENT_LABEL} says",
        f"every file of the bundle is as {papers.SBOM} and {papers.PROVENANCE} in it say",
    ]


def check(file: Path, wanted: Wanted, progress: Progress) -> list[str]:
    """Check an archive of `images.save` or an OCI layout; return what was checked, raising as above."""
    if not file.exists():
        raise CallError(f"there is no {file}", "name an archive of `invoke images.save`, or an OCI layout")
    if file.is_file() and archive.is_archive(file):
        return check_archive(file, wanted, progress)
    return layout_signature(file, wanted, progress)


def layout_signature(file: Path, wanted: Wanted, progress: Progress) -> list[str]:
    """Check that a key has signed every image of an OCI layout, and every blob that these name.

    The signatures are in the layout, or where `wanted` says. Returns what was checked; raises as above.
    """
    key = _key(wanted)
    with signed.layout_in(file, progress) as (blobs, layout):
        by_digest = {each.digest: each for each in signed.claims(_signatures(wanted, layout, progress), key)}
        if not layout.images:
            raise ScanError(f"{file} holds no image", "name the layout that the image was saved in")
        lines = []
        for digest in layout.images:
            if digest not in by_digest:
                others = ", ".join(sorted(by_digest))
                raise ScanError(
                    f"{file} holds the image {digest}, and the key signed {others}",
                    "do not use the image, or name the signature that belongs to it",
                )
            count = signed.prove(blobs, layout, digest)
            lines += _told(
                key, by_digest[digest], f"{count} blobs of {file}, each with the hash it is named by"
            )
        return lines


def _signatures(wanted: Wanted, layout: Layout, progress: Progress) -> list[signed.Signed]:
    if not wanted.signature:
        return layout.signed
    if wanted.payload:
        return signed.from_files(wanted.payload, wanted.signature)
    _require_layout(wanted.signature)
    with signed.layout_in(wanted.signature, progress) as (_blobs, other):
        return other.signed


def _require_layout(signature: Path) -> None:
    """Raise CallError for a bare signature: what was signed is in a file of its own, which has the digest."""
    if signature.is_file() and signature.stat().st_size < 16 << 10:
        raise CallError(
            f"{signature} is a signature without what was signed",
            "add --payload FILE (cosign sign --output-payload FILE), or name an OCI layout",
        )


def file_signature(file: Path, wanted: Wanted) -> tuple[str, list[str]]:
    """Check the detached signature over a whole file; return its SHA-256 in hex and what was checked.

    Raises CallError for files that can't be used, ScanError when the key has not signed this file.
    """
    key = _key(wanted)
    if not wanted.signature:
        raise CallError(
            "no signature was named", "add --signature FILE (cosign sign-blob --output-signature FILE)"
        )
    if wanted.payload:
        raise CallError("--payload is of an image's signature", "leave it out: the file itself was signed")
    digest = check_file(file, wanted.signature, key)
    return digest, [f"signed by {key}", f"signed file sha256:{digest}"]


def check_archive(file: Path, wanted: Wanted, progress: Progress) -> list[str]:
    """Check an archive of `images.save`, and its signature where a key was named, without an engine."""
    digest, lines = (
        file_signature(file, wanted) if wanted.key else ("", ["no signature was checked: no --key"])
    )
    held = archive.check(file, progress, digest)
    lines += [f"image {name}" for name in held.images] + [f"profile {name}" for name in held.profiles]
    return [*lines, f"whole, and as its own manifest says: {file} sha256:{held.sha256}"]


def _key(wanted: Wanted) -> PublicKey:
    if not wanted.key:
        raise CallError("no key was named to check the signature by", "add --key cosign.pub")
    return read_key(wanted.key)


def _told(key: PublicKey, claim: Claim, how: str) -> list[str]:
    return [
        f"signed by {key}",
        f"signed digest {claim.digest}: {how}",
        f"signed for the name {claim.reference!r}, which is the signer's word and was not compared",
    ]
