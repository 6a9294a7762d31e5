"""Looks into a saved image (`docker save`) without an engine: what its labels say must be what it holds.

What is read here may have been tampered with: nothing is unpacked, only hashed and counted.
"""

from __future__ import annotations

import ast
import gzip
import hashlib
import json
import posixpath
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from toolkit.auditor import AGENT, AGENT_LABEL, BUNDLE_LABEL, IMAGE_BUNDLE, agent_command
from toolkit.bundle import papers
from toolkit.errors import ScanError
from toolkit.reports.text import visible

_LARGEST_JSON = 4 << 20
_LARGEST_SOURCE = 1 << 20
_CHUNK = 1 << 20
_PLACE = IMAGE_BUNDLE.lstrip("/")
_SOURCES = f"{_PLACE}/{AGENT}"
_MODULES = f"{_SOURCES}/toolkit/agent"
START = agent_command(IMAGE_BUNDLE, "loader", f"{IMAGE_BUNDLE}/{AGENT}")
"""What an auditor image runs; the loader has this name whatever the architecture."""


@dataclass(frozen=True)
class Contents:
    """One saved image: its names, its configuration, and what was found in its layer."""

    tags: tuple[str, ...]
    identity: str
    """SHA-256 of the configuration, which engines without containerd's image store use as the image's id."""
    architecture: str
    labels: Mapping[str, str]
    layers: tuple[str, ...] = ()
    """SHA-256 of each layer, unpacked."""
    bundle_sha256: str = ""
    agent_sha256: str = ""


def describe(file: IO[bytes]) -> Contents:
    """Return names, architecture and labels of the one image in a `docker save` archive.

    Raises ScanError when it is no such archive or holds several images.
    """
    file.seek(0)
    try:
        with tarfile.open(fileobj=file) as archive:
            return _described(_Saved(archive))
    except (tarfile.TarError, ValueError, KeyError, TypeError, EOFError) as error:
        raise ScanError(f"this is no saved image ({error})", "make it with `invoke images.save`") from None


def check_auditor(file: IO[bytes]) -> Contents:
    """Return the same with the hashes of bundle and agent, computed from the layer.

    Raises ScanError unless the layer is the one its configuration names, holds the bundle and the agent and
    nothing else, and these are what the labels say.
    """
    file.seek(0)
    try:
        with tarfile.open(fileobj=file) as archive:
            saved = _Saved(archive)
            found = _described(saved)
            bundle, agent = _measured(saved)
    except (tarfile.TarError, ValueError, KeyError, TypeError, EOFError) as error:
        raise ScanError(f"this is no saved image ({error})", "make it with `invoke images.save`") from None
    for label, value, what in ((BUNDLE_LABEL, bundle, "bundle"), (AGENT_LABEL, agent, "agent")):
        if found.labels.get(label) != value:
            raise ScanError(
                f"the image's {what} is not the one its label {label} names", "do not use it; get it anew"
            )
    if saved.config["config"].get("Entrypoint") != START:
        raise ScanError("the image does not start the agent", "do not use it; get it anew")
    return replace(found, bundle_sha256=bundle, agent_sha256=agent)


class _Saved:
    """The members of a `docker save` archive that its manifest names."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        images = json.loads(self.read("manifest.json"))
        if len(images) != 1:
            raise ValueError(f"{len(images)} images")
        self.about: dict[str, Any] = images[0]
        self.config_bytes = self.read(self.about["Config"])
        self.config: dict[str, Any] = json.loads(self.config_bytes)

    def open(self, name: str) -> IO[bytes]:
        """Open a member; a link (older engines save equal layers once) leads to another member."""
        member = self._archive.getmember(posixpath.normpath(name))
        if member.issym():
            target = posixpath.normpath(posixpath.join(posixpath.dirname(member.name), member.linkname))
            member = self._archive.getmember(target)
        if not member.isreg():
            raise ValueError(f"{name} is not a file")
        file = self._archive.extractfile(member)
        if file is None:
            raise ValueError(f"{name} is not a file")
        return file

    def read(self, name: str) -> bytes:
        with self.open(name) as file:
            content = file.read(_LARGEST_JSON + 1)
        if len(content) > _LARGEST_JSON:
            raise ValueError(f"{name} is too large")
        return content


def _described(saved: _Saved) -> Contents:
    config = saved.config
    return Contents(
        tuple(saved.about.get("RepoTags") or ()),
        f"sha256:{hashlib.sha256(saved.config_bytes).hexdigest()}",
        str(config["architecture"]),
        dict(config["config"].get("Labels") or {}),
        tuple(config["rootfs"]["diff_ids"]),
    )


def _measured(saved: _Saved) -> tuple[str, str]:
    """Return the hashes of bundle and agent in the image's only layer."""
    diff_ids = saved.config["rootfs"]["diff_ids"]
    if len(diff_ids) != 1 or len(saved.about["Layers"]) != 1:
        raise ScanError(
            f"the image has {len(diff_ids)} layers, an auditor image has one", "build it with images.build"
        )
    with saved.open(saved.about["Layers"][0]) as file, tarfile.open(fileobj=file) as layer:
        entries, sources, said = _entries(layer)
    with saved.open(saved.about["Layers"][0]) as file:
        if _uncompressed_sha256(file) != diff_ids[0]:
            raise ScanError("the image's layer is not the one its configuration names", "get it anew")
    agent = hashlib.sha256()
    for name, content in sorted(sources.items()):
        agent.update(name.encode() + b"\0" + content + b"\0")
    if complaints := papers.disagreements(entries, said.__getitem__):
        more = f" (and {len(complaints) - 1} more)" if len(complaints) > 1 else ""
        raise ScanError(
            f"the image is not what it says of itself: {visible(complaints[0], 400)}{more}",
            "do not use it; get it anew",
        )
    return papers.tree_digest(entries), agent.hexdigest()


def _uncompressed_sha256(file: IO[bytes]) -> str:
    magic = file.read(2)
    file.seek(0)
    if magic != b"\x1f\x8b":
        return f"sha256:{_sha256(file)}"
    with gzip.GzipFile(fileobj=file) as plain:
        return f"sha256:{_sha256(plain)}"


def _sha256(file: IO[bytes] | gzip.GzipFile) -> str:
    found = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        found.update(chunk)
    return found.hexdigest()


def _entries(layer: tarfile.TarFile) -> tuple[dict[str, str], dict[str, bytes], dict[str, bytes]]:
    """Return what is in the bundle (path → kind and hash), and by name the agent's modules and the papers."""
    entries: dict[str, str] = {}
    sources: dict[str, bytes] = {}
    said: dict[str, bytes] = {}
    for member in layer:
        name = posixpath.normpath(member.name)
        if name in {_PLACE, _SOURCES}:
            continue
        if not name.startswith(f"{_PLACE}/"):
            raise ScanError(f"the image holds more than the auditor: /{name}", "do not use it; get it anew")
        if name.startswith(f"{_SOURCES}/"):
            _take_source(layer, member, name, sources)
        else:
            path = name.removeprefix(f"{_PLACE}/")
            entries[path] = _kind(layer, member)
            file = layer.extractfile(member) if path in papers.NAMES else None
            if file:
                said[path] = file.read(papers.LARGEST + 1)
    return entries, sources, said


def _take_source(
    layer: tarfile.TarFile, member: tarfile.TarInfo, name: str, sources: dict[str, bytes]
) -> None:
    parent, _, base = name.rpartition("/")
    if member.isdir() and name in {f"{_SOURCES}/toolkit", _MODULES}:
        return
    file = layer.extractfile(member) if member.isreg() and member.size < _LARGEST_SOURCE else None
    if parent == _MODULES and base.endswith(".py") and file:
        sources[base] = file.read()
    elif name != f"{_SOURCES}/toolkit/__init__.py" or not file or not _harmless(file.read()):
        raise ScanError(f"the image holds more than the auditor: /{name}", "do not use it; get it anew")


def _harmless(source: bytes) -> bool:
    """Tell whether a module, which no label covers, is a docstring and a version and nothing that runs."""
    return all(
        isinstance(getattr(statement, "value", None), ast.Constant)
        and isinstance(statement, ast.Expr | ast.Assign)
        for statement in ast.parse(source).body
    )


def _kind(layer: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    """Return what `toolkit.bundle.tree.digest` would say of this entry."""
    if member.isdir():
        return "directory"
    if member.issym():
        return f"link {member.linkname}"
    file = layer.extractfile(member)  # of a hard link: of what it leads to
    if file is None:
        raise ValueError(f"{member.name} is neither file nor directory nor link")
    return f"{'program' if member.mode & 0o100 else 'file'} {_sha256(file)}"


def check_file(path: Path) -> Contents:
    """`check_auditor` of a file."""
    with path.open("rb") as file:
        return check_auditor(file)
