"""Images made by hand: layers through tarfile, then the JSON around them, each part open to be spoilt."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

OCI = "application/vnd.oci.image.{}"
Pack = Callable[[bytes], bytes]


def entry(name: str, content: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """Return one entry of a layer; a name that ends in a slash is a directory."""
    about = tarfile.TarInfo(name)
    about.size = len(content)
    if name.endswith("/"):
        about.type = tarfile.DIRTYPE
    about.mode = 0o755 if about.isdir() else 0o644
    for field, value in fields.items():
        setattr(about, field, value)
    return about, content


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.SYMTYPE, linkname=target)


def hard_link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.LNKTYPE, linkname=target)


def device(name: str, major: int = 1, minor: int = 3) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.CHRTYPE, devmajor=major, devminor=minor, mode=0o666)


def layer(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """Return an uncompressed layer, written as it is said, also where tarfile itself would not."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for about, content in entries:
            header = about.tobuf(tarfile.PAX_FORMAT, errors="surrogateescape")
            if about.name.startswith("/"):  # tarfile strips the slash
                header = _renamed(header, about.name)
            out.write(header)
            out.write(content + b"\0" * (-len(content) % 512))
            tar.offset = out.tell()
    return out.getvalue()


def _renamed(header: bytes, name: str) -> bytes:
    header = name.encode().ljust(100, b"\0") + header[100:148] + b" " * 8 + header[156:]
    return header[:148] + b"%06o\0 " % sum(header[:512]) + header[156:]


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def config(*layers: bytes, **fields: Any) -> dict[str, Any]:
    return {
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-01-02T03:04:05Z",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest(each) for each in layers]},
        **fields,
    }


class Layout:
    """An OCI layout in a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifests: list[dict[str, Any]] = []
        (path / "blobs" / "sha256").mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        self.write()

    def put(self, content: bytes | dict[str, Any], media_type: str) -> dict[str, Any]:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        name = digest(data)
        (self.path / "blobs" / "sha256" / name[7:]).write_bytes(data)
        return {"mediaType": media_type, "digest": name, "size": len(data)}

    def image(
        self, *layers: bytes, pack: Pack = bytes, kind: str = OCI.format("layer.v1.tar"), **fields: Any
    ) -> dict[str, Any]:
        """Put an image and return its manifest's descriptor."""
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI.format("manifest.v1+json"),
            "config": self.put(config(*layers, **fields), OCI.format("config.v1+json")),
            "layers": [self.put(pack(each), kind) for each in layers],
        }
        return self.put(manifest, OCI.format("manifest.v1+json"))

    def add(self, descriptor: dict[str, Any], name: str = "") -> Layout:
        notes = {"annotations": {"org.opencontainers.image.ref.name": name}} if name else {}
        self.manifests.append({**descriptor, **notes})
        self.write()
        return self

    def write(self) -> None:
        (self.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": self.manifests}))

    def tar(self, path: Path, mode: Literal["w", "w:gz"] = "w") -> Path:
        with tarfile.open(path, mode) as tar:
            for each in sorted(self.path.rglob("*")):
                tar.add(each, each.relative_to(self.path), recursive=False)
        return path


def layout(path: Path, *layers: bytes, **fields: Any) -> Path:
    """Write an OCI layout of one image; return its path."""
    made = Layout(path)
    return made.add(made.image(*layers, **fields), "image").path


def saved(path: Path, *layers: bytes, members: dict[str, bytes] | None = None, **fields: Any) -> Path:
    """Write an archive as `docker save` does up to Docker 24; `members` replaces or adds files."""
    about = json.dumps(config(*layers, **fields)).encode()
    files = {f"{number}/layer.tar": each for number, each in enumerate(layers)}
    name = f"{hashlib.sha256(about).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": ["made:by-hand"], "Layers": list(files)}]
    files |= {name: about, "manifest.json": json.dumps(manifest).encode()}
    with tarfile.open(path, "w") as tar:
        for file, content in (files | (members or {})).items():
            about_file = tarfile.TarInfo(file)
            about_file.size = len(content)
            tar.addfile(about_file, io.BytesIO(content))
    return path


def gzipped(content: bytes) -> bytes:
    """Compress in two members, as parallel and seekable writers do."""
    half = len(content) // 2
    return gzip.compress(content[:half]) + gzip.compress(content[half:])
