"""Images in the local Docker engine, read through the same archive that `docker save` writes."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import requests
from docker.errors import APIError, DockerException, ImageNotFound

from toolkit import dockers
from toolkit.errors import CallError, ScanError
from toolkit.unpack.blobs import ArchiveBlobs, Blobs
from toolkit.unpack.limits import Budget

# References of distribution/reference, roughly: the engine has the last word, but must not get what is none.
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,400}")


def check(reference: str) -> None:
    """Raise CallError when this can't be the name or id of an image."""
    if not _REFERENCE.fullmatch(reference) or "//" in reference or reference.endswith((":", "/", "@")):
        raise CallError(
            f"{reference!r} is neither the name of an image nor the path of one",
            "write image://NAME:TAG, image://sha256:ID or image:///path/of/an/archive.tar",
        )
    path = Path(reference)
    if _is_image(path):
        raise CallError(
            f"{reference!r} is a path that does not begin with a slash",
            f"write image://{path.absolute()}",
        )


def _is_image(path: Path) -> bool:
    with contextlib.suppress(OSError):  # a name that is too long for a file
        return path.is_file() or (path / "oci-layout").is_file()
    return False


def opened(
    reference: str, spool: Path, budget: Budget, stack: contextlib.ExitStack
) -> tuple[Blobs, dict[str, Any]]:
    """Have the engine save an image; return its files and what the engine knows of it.

    Raises CallError when the engine has no such image, ScanError when there is no engine or it breaks off.
    """
    client = stack.enter_context(contextlib.closing(dockers.connect()))
    what = f"the image {reference}"
    try:
        image = client.images.get(reference)
        budget.step(f"saving {reference}")
        # By its id, so that a tag that moves meanwhile changes nothing.
        stream = _Stream(client.api.get_image(str(image.id)))
        known = {"engine_id": image.id, "names": image.tags, "digests": image.attrs.get("RepoDigests") or []}
        return ArchiveBlobs(what, stream, spool, budget), known
    except ImageNotFound:
        raise CallError(
            f"the Docker engine has no image {reference}", f"docker pull {reference}, or see: docker images"
        ) from None
    except APIError as error:
        said = error.explanation or str(error)
        kind = CallError if error.is_client_error() else ScanError
        raise kind(f"the Docker engine can't save {reference}: {said[:300]}", "see: docker images") from None
    except (DockerException, requests.RequestException) as error:
        raise ScanError(f"the Docker engine broke off while it saved {reference}", str(error)[:300]) from None


class _Stream:
    """The chunks of a response as one stream."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def read(self, size: int, /) -> bytes:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._rest = chunk
        data, self._rest = self._rest[:size], self._rest[size:]
        return data
