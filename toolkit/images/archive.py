"""The auditor in one file, for machines without a registry: images, profiles, a manifest with every checksum.

The checksums tell a damaged or half-copied archive; whether it is the one that was sent is told by the
archive's own SHA-256, which goes another way.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import posixpath
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

import docker
import requests
from docker.errors import APIError, ImageNotFound

import toolkit
from toolkit.agent.source import source_sha256
from toolkit.auditor import AGENT_LABEL
from toolkit.bundle.tree import EPOCH, files, sha256
from toolkit.dockers import reason
from toolkit.errors import CallError, ScanError
from toolkit.images.content import Contents, check_auditor, describe
from toolkit.reports.text import visible
from toolkit.unpack.blobs import sound
from toolkit.unpack.tar import Readable, Reader

Progress = Callable[[str], None]

MANIFEST = "barescan.json"
FORMAT = 1
QUICK, BEST = 9, 19
"""Levels of zstd: on an image of 84 MB 3 s and 29 MB, or a minute and 26 MB."""
SUFFIXES = (".tar", ".tar.gz", ".tar.zst")
_SUMS = "SHA256SUMS"
_LARGEST_MANIFEST = 4 << 20
_LARGEST_FILE = 8 << 30
_MOST_FILES = 10_000
_CHUNK = 1 << 20
_FILE, _DIRECTORY = "0", "5"
_SECONDS = 600
"""The longest that an engine may be silent while it saves or loads."""


@dataclass(frozen=True)
class Loaded:
    """What was in an archive: the names of the images that the engine has now, and its profiles."""

    images: tuple[str, ...]
    profiles: tuple[str, ...]
    sha256: str


def save(
    client: docker.DockerClient,
    names: Sequence[str],
    profiles: Sequence[Path],
    file: Path,
    progress: Progress,
    level: int = QUICK,
) -> str:
    """Write images and profiles into one archive, whole or not at all; return its SHA-256.

    The name decides how it is compressed, see SUFFIXES; `level` is zstd's. Raises CallError for a name of
    another kind, ScanError when an image is missing or writing fails.
    """
    _suffix(file)
    with tempfile.TemporaryDirectory(prefix="barescan-save-") as scratch:
        tree = Path(scratch)
        entries = [_save_image(client, name, tree, progress) for name in names]
        for profile in profiles:
            for path in files(profile):
                target = tree / "profiles" / profile.name / path.relative_to(profile)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
        _write_manifest(tree, entries, [profile.name for profile in profiles])
        progress(f"packing {file.name}")
        return _pack(tree, file, level)


def load(
    client: docker.DockerClient,
    file: Path,
    progress: Progress,
    expected: str = "",
    profiles: Path | None = None,
) -> Loaded:
    """Check an archive through and through, then load its images; unpack its profiles in `profiles` if given.

    `expected` is the archive's SHA-256 as it was told at its origin. Raises CallError for what is no such
    archive, ScanError when anything in it is not as its manifest and its labels say: nothing is loaded then.
    """
    with _checked(file, progress, expected) as archive:
        _check_architecture(client, archive.images)
        if profiles:
            _place_profiles(archive.tree / "profiles", archive.profiles, profiles)
        loaded = [
            _load_image(client, archive.tree / name, about, progress)
            for name, about in archive.images.items()
        ]
        return Loaded(tuple(loaded), archive.profiles, archive.sha256)


def check(file: Path, progress: Progress, expected: str = "") -> Loaded:
    """Check an archive as `load` does, without an engine; return what would be loaded."""
    with _checked(file, progress, expected) as archive:
        names = [", ".join(about.tags) or about.identity for about in archive.images.values()]
        return Loaded(tuple(names), archive.profiles, archive.sha256)


def is_archive(file: Path) -> bool:
    """Tell whether a file begins as an archive of barescan does."""
    try:
        with sound(str(file), "name another file"), _expanding(file) as source:
            first = Reader(source).next()
    except (OSError, ScanError):
        return False
    return first is not None and first.name == MANIFEST


@dataclass(frozen=True)
class _Archive:
    """An archive that was found sound, unpacked in `tree`."""

    tree: Path
    images: dict[str, Contents]
    profiles: tuple[str, ...]
    sha256: str


@contextlib.contextmanager
def _checked(file: Path, progress: Progress, expected: str) -> Iterator[_Archive]:
    if not file.is_file():
        raise CallError(f"there is no file {file}", "name an archive made by `invoke images.save`")
    if file.stat().st_size > _LARGEST_FILE:
        raise ScanError(f"{file} is larger than any archive of barescan", "do not use it")
    with tempfile.TemporaryDirectory(prefix="barescan-load-") as scratch:
        copy, tree = Path(scratch, "archive"), Path(scratch, "tree")  # nobody else can change the copy
        with file.open("rb") as source, copy.open("xb") as target:
            total, _size = _copy(source, target)
        if expected and total != expected.lower():
            raise ScanError(f"{file} has SHA-256 {total}, not the expected one", "get it anew")
        progress(f"checking {file.name}")
        manifest = _unpack(copy, file, tree)
        copy.unlink()
        images = _check_images(manifest, tree, progress)
        yield _Archive(tree, images, tuple(manifest["profiles"]), total)


def _suffix(file: Path) -> str:
    for suffix in SUFFIXES:
        if file.name.endswith(suffix):
            return suffix
    raise CallError(
        f"{file.name} does not say how to compress", f"let the name end in one of {', '.join(SUFFIXES)}"
    )


def _save_image(client: docker.DockerClient, name: str, tree: Path, progress: Progress) -> dict[str, Any]:
    place = f"images/{name.rpartition('/')[2].partition(':')[0].partition('@')[0]}.tar"
    target = tree / place
    target.parent.mkdir(exist_ok=True)
    progress(f"taking {name} from the engine")
    client.api.timeout = _SECONDS
    try:
        client.images.get(name)
        with target.open("xb") as output:
            for chunk in client.api.get_image(name):
                output.write(chunk)
    except ImageNotFound:
        raise ScanError(
            f"the engine has no image {name}",
            "build it with `invoke images.build`, or see `invoke images.list`",
        ) from None
    except (APIError, requests.RequestException) as error:
        raise ScanError(
            f"the engine could not save {name}: {reason(error)}", "see the engine's log"
        ) from None
    with target.open("rb") as saved:
        about = check_auditor(saved) if AGENT_LABEL in describe(saved).labels else describe(saved)
    return {
        "file": place,
        "tags": list(about.tags),
        "id": about.identity,
        "architecture": about.architecture,
        "labels": dict(about.labels),
    }


def _write_manifest(tree: Path, images: list[dict[str, Any]], profiles: list[str]) -> None:
    sums = {str(path.relative_to(tree)): path for path in files(tree)}
    manifest = {
        "format": FORMAT,
        "barescan": toolkit.__version__,
        "images": images,
        "profiles": profiles,
        "files": {
            name: {"sha256": sha256(path), "size": path.stat().st_size} for name, path in sorted(sums.items())
        },
    }
    (tree / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    sums[MANIFEST] = tree / MANIFEST
    (tree / _SUMS).write_text("".join(f"{sha256(path)}  {name}\n" for name, path in sorted(sums.items())))


def _pack(tree: Path, file: Path, level: int) -> str:
    partial = file.with_name(f".{file.name}.part")
    try:
        with (
            partial.open("wb") as output,
            _compressing(output, _suffix(file), level) as sink,
            tarfile.open(fileobj=sink, mode="w|") as archive,
        ):
            for name in (MANIFEST, _SUMS, "images", "profiles"):
                if (tree / name).exists():
                    archive.add(tree / name, name, filter=_uniform)
        found = sha256(partial)
        partial.replace(file)
    except OSError as error:
        raise ScanError(f"{file} could not be written: {error.strerror}", "name another place") from error
    finally:
        partial.unlink(missing_ok=True)
    return found


def _uniform(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = EPOCH
    member.mode = 0o755 if member.isdir() else 0o644
    return member


@contextlib.contextmanager
def _compressing(output: IO[bytes], suffix: str, level: int) -> Iterator[IO[bytes]]:
    if suffix == ".tar":
        yield output
    elif suffix == ".tar.gz":
        with gzip.GzipFile(filename="", mode="wb", fileobj=output, mtime=0) as packed:
            yield packed  # type: ignore[misc]
    else:
        command = [_zstd(), f"-{level}", "-T0", "-q", "-c"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output) as packer:
            assert packer.stdin is not None  # noqa: S101 it was asked for
            yield packer.stdin
            packer.stdin.close()
        if packer.returncode:
            raise ScanError(f"zstd ended with status {packer.returncode}", "is the disk full?")


def _zstd() -> str:
    program = shutil.which("zstd")
    if program is None:
        raise ScanError("a .tar.zst needs zstd", "apt-get install zstd, or use a name that ends in .tar.gz")
    return program


@contextlib.contextmanager
def _expanding(file: Path) -> Iterator[IO[bytes]]:
    with file.open("rb", buffering=0) as source:  # zstd gets the descriptor, which must be at the start
        magic = source.read(4)
        source.seek(0)
        if magic[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=source) as plain:
                yield plain  # type: ignore[misc]
        elif magic == b"\x28\xb5\x2f\xfd":
            command = [_zstd(), "-d", "-q", "-c"]
            with subprocess.Popen(
                command, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            ) as unpacker:
                assert unpacker.stdout is not None  # noqa: S101 it was asked for
                try:
                    yield unpacker.stdout
                finally:
                    unpacker.kill()
        else:
            yield source


def _unpack(copy: Path, file: Path, tree: Path) -> dict[str, Any]:
    """Unpack into `tree` what the manifest lists, checking each file's size and hash; return the manifest.

    `copy` is what is read, `file` what the user knows it as.
    """
    with sound(str(file), "get it anew"), _expanding(copy) as source:
        return _take(Reader(source), file, tree)


def _take(archive: Reader, file: Path, tree: Path) -> dict[str, Any]:
    first = archive.next()
    if first is None:
        raise ScanError(f"{file} is damaged or empty", "get it anew")
    if first.name != MANIFEST or first.kind != _FILE or first.size > _LARGEST_MANIFEST:
        raise CallError(f"{file} is no archive of barescan", "name one made by `invoke images.save`")
    manifest = _manifest(b"".join(iter(lambda: archive.read(_CHUNK), b"")), file)
    waiting = dict(manifest["files"])
    if len(waiting) > _MOST_FILES or sum(about["size"] for about in waiting.values()) > _LARGEST_FILE:
        raise ScanError(f"{file} claims to hold more than any archive of barescan", "do not use it")
    while (member := archive.next()) is not None:
        if member.kind == _DIRECTORY or member.name == _SUMS:
            continue
        about = waiting.pop(member.name, None) if member.kind == _FILE else None
        if about is None or not _safe(member.name):
            name = visible(member.name, 200)
            raise ScanError(f"{file} holds {name!r}, which its manifest does not list", "get it anew")
        if _place(archive, tree, member.name) != (about["sha256"], about["size"]):
            name = visible(member.name, 200)
            raise ScanError(f"{name} in {file} is not what the manifest says", "get it anew")
    if waiting:
        raise ScanError(f"{file} lacks {visible(min(waiting), 200)}", "get it anew")
    return manifest


def _manifest(content: bytes, file: Path) -> dict[str, Any]:
    """Return the manifest in an archive, whose members are of the types that are relied on."""
    try:
        manifest = json.loads(content)
        if manifest["format"] != FORMAT:
            said = visible(str(manifest["format"]), 40)
            raise CallError(f"{file} has format {said}, not {FORMAT}", "use the barescan that wrote it")
        if _is_sound(manifest):
            return dict(manifest)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    raise ScanError(f"the manifest in {file} is malformed", "get it anew")


def _is_sound(manifest: dict[str, Any]) -> bool:
    sizes = [about["size"] for about in manifest["files"].values()]
    words = [*manifest["profiles"], *(about["sha256"] for about in manifest["files"].values())]
    for image in manifest["images"]:
        words += [image["file"], image["id"], *image["tags"], *image["labels"].values()]
    return all(isinstance(word, str) for word in words) and all(
        isinstance(size, int) and size >= 0 for size in sizes
    )


def _safe(name: str) -> bool:
    parts = name.split("/")
    return (
        parts[0] in {"images", "profiles"}
        and len(parts) > 1
        and posixpath.normpath(name) == name
        and ".." not in parts
    )


def _place(source: Reader, tree: Path, name: str) -> tuple[str, int]:
    """Write the entry at hand to its place; return its SHA-256 and size. Raises ScanError for a bad name."""
    target = tree / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        output = target.open("xb")
    except (OSError, ValueError):
        raise ScanError(
            f"{visible(name, 200)!r} in the archive is no name of a file", "get it anew"
        ) from None
    with output:
        return _copy(source, output)


def _copy(source: Readable, output: BinaryIO) -> tuple[str, int]:
    """Copy what is left of a stream; return its SHA-256 and size."""
    found = hashlib.sha256()
    size = 0
    while chunk := source.read(_CHUNK):
        found.update(chunk)
        size += len(chunk)
        output.write(chunk)
    return found.hexdigest(), size


def _check_images(manifest: dict[str, Any], tree: Path, progress: Progress) -> dict[str, Contents]:
    checked = {}
    for entry in manifest["images"]:
        if entry["file"] not in manifest["files"]:
            tags = visible(", ".join(entry["tags"]), 200)
            raise ScanError(f"the manifest lists no file for {tags}", "get the archive anew")
        with (tree / entry["file"]).open("rb") as saved:
            about = describe(saved)
            if AGENT_LABEL in about.labels or AGENT_LABEL in entry["labels"]:
                about = check_auditor(saved)
        said = (entry["id"], entry["labels"], tuple(entry["tags"]))
        if said != (about.identity, dict(about.labels), about.tags):
            raise ScanError(
                f"{visible(entry['file'], 200)} is not the image that the manifest names",
                "get the archive anew",
            )
        if about.agent_sha256 and about.agent_sha256 != source_sha256():
            progress(
                f"{', '.join(about.tags)} is of another version of barescan: this one can't scan with it"
            )
        checked[entry["file"]] = about
    return checked


def _check_architecture(client: docker.DockerClient, images: dict[str, Contents]) -> None:
    engine = str(client.version().get("Arch", ""))
    for about in images.values():
        if engine and engine != about.architecture:
            raise ScanError(
                f"the image is for {visible(about.architecture, 40)}, this engine runs {engine}",
                "get one made for it",
            )


def _place_profiles(source: Path, names: Sequence[str], target: Path) -> None:
    there = {path.name for path in source.iterdir() if path.is_dir()} if source.is_dir() else set()
    for name in names:
        place = target / name
        if name not in there:
            raise ScanError(f"the archive has no profile {visible(name, 200)!r}", "get it anew")
        if place.exists():
            raise CallError(f"{place} is already there", "name a directory without it")
    for name in names:
        shutil.copytree(source / name, target / name)


def _load_image(client: docker.DockerClient, file: Path, about: Contents, progress: Progress) -> str:
    """Load one image; return its name, or its id where it has none.

    A saved image may carry a second index, which some engines go by: only what was checked may stay.
    """
    progress(f"loading {file.name} into the engine")
    client.api.timeout = _SECONDS
    try:
        with file.open("rb") as saved:
            images = client.images.load(saved)
    except (APIError, requests.RequestException) as error:
        raise ScanError(
            f"the engine did not take {file.name}: {reason(error)}", "see the engine's log"
        ) from None
    for image in images:
        if tuple(image.attrs["RootFS"]["Layers"]) != about.layers or dict(image.labels) != dict(about.labels):
            with contextlib.suppress(APIError):
                client.images.remove(str(image.id), force=True)
            raise ScanError("the engine loaded another image than was checked", "get it anew")
    return ", ".join(about.tags or [str(image.id) for image in images])
