"""Looks into a saved image (`docker save`) without an engine: what its labels say must be what it holds.

What is read here may have been tampered with: nothing is unpacked, only hashed and counted.
"""

from __future__ import annotations

import ast
import contextlib
import gzip
import hashlib
import json
import math
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from toolkit.auditor import AGENT, AGENT_LABEL, BUNDLE_LABEL, IMAGE_BUNDLE, agent_command
from toolkit.bundle import papers
from toolkit.errors import ScanError
from toolkit.reports.text import visible
from toolkit.unpack.blobs import GZIP, ArchiveBlobs, sound
from toolkit.unpack.limits import Budget
from toolkit.unpack.tar import Entry, Readable, Reader

_LARGEST_SOURCE = 1 << 20
_CHUNK = 1 << 20
_FILE, _HARD_LINK, _SYMLINK, _DIRECTORY = "0", "1", "2", "5"
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


def describe(file: BinaryIO) -> Contents:
    """Return names, architecture and labels of the one image in a `docker save` archive.

    Raises ScanError when it is no such archive or holds several images.
    """
    with _understood():
        return _described(_Saved(file))


def check_auditor(file: BinaryIO) -> Contents:
    """Return the same with the hashes of bundle and agent, computed from the layer.

    Raises ScanError unless the layer is the one its configuration names, holds the bundle and the agent and
    nothing else, and these are what the labels say.
    """
    with _understood():
        saved = _Saved(file)
        found = _described(saved)
        bundle, agent = _measured(saved)
    for label, value, what in ((BUNDLE_LABEL, bundle, "bundle"), (AGENT_LABEL, agent, "agent")):
        if found.labels.get(label) != value:
            raise ScanError(
                f"the image's {what} is not the one its label {label} names", "do not use it; get it anew"
            )
    if saved.settings.get("Entrypoint") != START:
        raise ScanError("the image does not start the agent", "do not use it; get it anew")
    return replace(found, bundle_sha256=bundle, agent_sha256=agent)


@contextlib.contextmanager
def _understood() -> Iterator[None]:
    """Turn what a saved image must not be into a ScanError: the JSON in it may be of any shape."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        said = visible(str(error), 200)
        raise ScanError(f"this is no saved image ({said})", "make it with `invoke images.save`") from None


class _Saved:
    """The members of a `docker save` archive that its manifest names."""

    def __init__(self, file: BinaryIO) -> None:
        file.seek(0)
        self._files = ArchiveBlobs("the saved image", file, None, Budget(math.inf, _tell_nobody))
        images = json.loads(self._files.small("manifest.json"))
        if len(images) != 1:
            raise ValueError(f"{len(images)} images")
        self.about: dict[str, Any] = images[0]
        self.config_bytes = self._files.small(_text(self.about["Config"]))
        self.config: dict[str, Any] = json.loads(self.config_bytes)
        self.settings: dict[str, Any] = self.config["config"]

    @contextlib.contextmanager
    def layer(self) -> Iterator[Readable]:
        """Open the image's only layer, unpacked if it is compressed."""
        with sound("the image's layer", "get it anew"):
            blob = self._files.open(_text(self.about["Layers"][0]))
            packed = blob.read(len(GZIP)) == GZIP
            blob.seek(0)
            if not packed:
                yield blob
                return
            with gzip.GzipFile(fileobj=blob) as plain:
                yield plain


def _tell_nobody(_text: str) -> None:
    """Take how far the reading is."""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{str(value)[:40]!r} where a text belongs")
    return value


def _described(saved: _Saved) -> Contents:
    labels = saved.settings.get("Labels") or {}
    return Contents(
        tuple(map(_text, saved.about.get("RepoTags") or ())),
        f"sha256:{hashlib.sha256(saved.config_bytes).hexdigest()}",
        _text(saved.config["architecture"]),
        {_text(name): _text(value) for name, value in labels.items()},
        tuple(map(_text, saved.config["rootfs"]["diff_ids"])),
    )


def _measured(saved: _Saved) -> tuple[str, str]:
    """Return the hashes of bundle and agent in the image's only layer."""
    diff_ids = saved.config["rootfs"]["diff_ids"]
    if len(diff_ids) != 1 or len(saved.about["Layers"]) != 1:
        raise ScanError(
            f"the image has {len(diff_ids)} layers, an auditor image has one", "build it with images.build"
        )
    with saved.layer() as stream:
        layer = _Hashed(stream)
        entries, sources, said = _entries(Reader(layer))
        while layer.read(_CHUNK):
            pass
    if layer.digest() != diff_ids[0]:
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


class _Hashed:
    """A stream that hashes what is read of it."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._found = hashlib.sha256()

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._found.update(data)
        return data

    def digest(self) -> str:
        return f"sha256:{self._found.hexdigest()}"


def _entries(layer: Reader) -> tuple[dict[str, str], dict[str, bytes], dict[str, bytes]]:
    """Return what is in the bundle (path → kind and hash), and by name the agent's modules and the papers."""
    entries: dict[str, str] = {}
    sources: dict[str, bytes] = {}
    said: dict[str, bytes] = {}
    hashes: dict[str, str] = {}
    while (member := layer.next()) is not None:
        name = posixpath.normpath(member.name)
        if name in {_PLACE, _SOURCES}:
            continue
        if not name.startswith(f"{_PLACE}/"):
            raise _more_than_the_auditor(name)
        if name.startswith(f"{_SOURCES}/"):
            _take_source(layer, member, name, sources)
        else:
            path = name.removeprefix(f"{_PLACE}/")
            if path in papers.NAMES and member.kind == _FILE:
                said[path] = content = _paper(layer, member)
                hashes[name] = hashlib.sha256(content).hexdigest()
                entries[path] = f"{'program' if member.mode & 0o100 else 'file'} {hashes[name]}"
            else:
                entries[path] = _kind(layer, member, name, hashes)
    return entries, sources, said


def _paper(layer: Reader, member: Entry) -> bytes:
    if member.size > papers.LARGEST:
        raise _more_than_the_auditor(member.name)
    return b"".join(iter(lambda: layer.read(_CHUNK), b""))


def _more_than_the_auditor(name: str) -> ScanError:
    return ScanError(
        f"the image holds more than the auditor: /{visible(name, 200)}", "do not use it; get it anew"
    )


def _take_source(layer: Reader, member: Entry, name: str, sources: dict[str, bytes]) -> None:
    parent, _, base = name.rpartition("/")
    if member.kind == _DIRECTORY and name in {f"{_SOURCES}/toolkit", _MODULES}:
        return
    if member.kind != _FILE or member.size > _LARGEST_SOURCE:
        raise _more_than_the_auditor(name)
    content = b"".join(iter(lambda: layer.read(_CHUNK), b""))
    if parent == _MODULES and base.endswith(".py"):
        sources[base] = content
    elif name != f"{_SOURCES}/toolkit/__init__.py" or not _harmless(content):
        raise _more_than_the_auditor(name)


def _harmless(source: bytes) -> bool:
    """Tell whether a module, which no label covers, is a docstring and a version and nothing that runs."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last for what is nested too deeply
        return False
    return all(
        isinstance(getattr(statement, "value", None), ast.Constant)
        and isinstance(statement, ast.Expr | ast.Assign)
        for statement in body
    )


def _kind(layer: Reader, member: Entry, name: str, hashes: dict[str, str]) -> str:
    """Return what `toolkit.bundle.tree.digest` would say of this entry; `hashes` has those of files."""
    if member.kind == _DIRECTORY:
        return "directory"
    if member.kind == _SYMLINK:
        return f"link {member.link}"
    if member.kind == _FILE:
        found = hashlib.sha256()
        while chunk := layer.read(_CHUNK):
            found.update(chunk)
        hashes[name] = found.hexdigest()
    elif member.kind == _HARD_LINK:
        hashes[name] = hashes[posixpath.normpath(member.link)]
    else:
        raise ValueError(f"{name[:100]} is neither file nor directory nor link")
    return f"{'program' if member.mode & 0o100 else 'file'} {hashes[name]}"


def check_file(path: Path) -> Contents:
    """`check_auditor` of a file."""
    with path.open("rb") as file:
        return check_auditor(file)
