"""Layers proved and put, decompressed, into an OCI layout of our own: all that gets unpacked later."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from toolkit.errors import ScanError
from toolkit.unpack.blobs import GZIP, Blobs, sound
from toolkit.unpack.entries import Entries
from toolkit.unpack.images import Image, Layer
from toolkit.unpack.limits import Budget
from toolkit.unpack.tar import CHUNK, Readable, Reader

TAG = "image"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ANEW = "save the image anew; if it stays so, treat it as hostile"


def stage(image: Image, blobs: Blobs, place: Path, budget: Budget) -> Entries:
    """Write the image as an OCI layout into the new directory `place`; return what its entries told.

    Raises ScanError when a layer is missing, broken, not what its digests say, or hostile.
    """
    store = place / "blobs" / "sha256"
    store.mkdir(parents=True)
    entries = Entries(budget)
    staged = []
    for number, layer in enumerate(image.layers, start=1):
        what = f"layer {number} of {len(image.layers)}"
        budget.step(f"reading {what}")
        staged.append(_Staging(layer, what, budget, store).run(blobs, entries))
    _write_layout(place, store, staged, image.facts["architecture"])
    return entries


class _Staging:
    """One layer on its way: compressed blob → tar stream → checked entries and a file of ours."""

    def __init__(self, layer: Layer, what: str, budget: Budget, store: Path) -> None:
        self._layer, self._what, self._budget, self._store = layer, what, budget, store

    def run(self, blobs: Blobs, entries: Entries) -> dict[str, Any]:
        temporary = self._store / "unproved"
        with blobs.open(self._layer.name) as blob, temporary.open("xb") as file:
            source = _Hashing(blob, self._layer.digest or "sha256:")
            with sound(self._what, _ANEW), self._plain(source) as plain:
                tee = _Tee(plain, file, self._layer.diff_id, self._budget)
                reader = Reader(tee)
                while (entry := reader.next()) is not None:
                    entries.take(entry)
                tee.drain()
            source.drain()
        self._prove(source, tee)
        temporary.rename(self._store / tee.sha256.hexdigest())
        return {"digest": f"sha256:{tee.sha256.hexdigest()}", "size": tee.size}

    def _prove(self, source: _Hashing, tee: _Tee) -> None:
        layer = self._layer
        if layer.size not in {None, source.size}:
            raise ScanError(
                f"{self._what} has {source.size} bytes, not {layer.size} as its image says", _ANEW
            )
        if layer.digest and source.digest() != layer.digest:
            raise ScanError(f"{self._what} is not what its digest says ({layer.digest})", _ANEW)
        if tee.digest() != layer.diff_id:
            raise ScanError(
                f"the content of {self._what} is not what the image's configuration says ({layer.diff_id})",
                _ANEW,
            )

    @contextlib.contextmanager
    def _plain(self, source: _Hashing) -> Iterator[Readable]:
        start = source.peek(len(_ZSTD))
        if start.startswith(GZIP):
            with gzip.GzipFile(fileobj=source) as plain:  # type: ignore[call-overload]
                yield plain
        elif start == _ZSTD:
            with self._zstd(source) as plain:
                yield plain
        else:
            yield source

    @contextlib.contextmanager
    def _zstd(self, source: _Hashing) -> Iterator[Readable]:
        """Decompress with zstd(1), which by itself refuses windows above 128 MiB."""
        program = shutil.which("zstd")
        if program is None:
            raise ScanError(f"{self._what} is compressed with zstd", "apt-get install zstd")
        packed = self._store / "packed"
        with packed.open("xb") as file:
            while data := source.read(CHUNK):
                self._budget.keep(len(data))
                file.write(data)
        command = [program, "--decompress", "--stdout", "--quiet", "--", str(packed)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            assert process.stdout is not None  # noqa: S101 for the type checker
            yield process.stdout
            if process.wait():
                raise EOFError
        finally:
            process.kill()
            process.communicate()
            packed.unlink()


class _Hashing:
    """A blob that hashes what is read of it."""

    def __init__(self, file: Any, like: str) -> None:
        self._file, self._algorithm = file, like.partition(":")[0]
        self._hash = hashlib.new(self._algorithm)
        self._start = b""
        self.size = 0

    def peek(self, count: int) -> bytes:
        while len(self._start) < count and (data := self._file.read(count - len(self._start))):
            self._take(data)
            self._start += data
        return self._start

    def read(self, size: int = CHUNK, /) -> bytes:
        if self._start:
            data, self._start = self._start[:size], self._start[size:]
            return data
        data = self._file.read(size)
        self._take(data)
        return bytes(data)

    def _take(self, data: bytes) -> None:
        self._hash.update(data)
        self.size += len(data)

    def drain(self) -> None:
        while self.read(CHUNK):
            pass

    def digest(self) -> str:
        return f"{self._algorithm}:{self._hash.hexdigest()}"


class _Tee:
    """The tar stream of a layer, hashed, counted and written to a file while it is read."""

    def __init__(self, stream: Readable, file: BinaryIO, diff_id: str, budget: Budget) -> None:
        self._stream, self._file, self._budget = stream, file, budget
        self._algorithm = diff_id.partition(":")[0]
        self.sha256 = hashlib.sha256()
        self._other = None if self._algorithm == "sha256" else hashlib.new(self._algorithm)
        self.size = 0

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._budget.unpack(len(data))
        self.sha256.update(data)
        if self._other:
            self._other.update(data)
        self._file.write(data)
        self.size += len(data)
        return data

    def drain(self) -> None:
        while self.read(CHUNK):
            pass

    def digest(self) -> str:
        return f"{self._algorithm}:{(self._other or self.sha256).hexdigest()}"


def _write_layout(place: Path, store: Path, layers: list[dict[str, Any]], architecture: str) -> None:
    kind = "application/vnd.oci.image.{}"
    config = {
        "architecture": architecture or "unknown",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
    }
    tar = kind.format("layer.v1.tar")
    manifest = {
        "schemaVersion": 2,
        "mediaType": kind.format("manifest.v1+json"),
        "config": {"mediaType": kind.format("config.v1+json"), **_put(store, config)},
        "layers": [{"mediaType": tar, **layer} for layer in layers],
    }
    descriptor = {
        "mediaType": kind.format("manifest.v1+json"),
        **_put(store, manifest),
        "annotations": {"org.opencontainers.image.ref.name": TAG},
    }
    (place / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [descriptor]}))
    (place / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))


def _put(store: Path, document: dict[str, Any]) -> dict[str, Any]:
    content = json.dumps(document).encode()
    digest = hashlib.sha256(content).hexdigest()
    (store / digest).write_bytes(content)
    return {"digest": f"sha256:{digest}", "size": len(content)}
