"""Reading an InSpec profile into memory: directories and archives, of which nothing is ever unpacked to disk.

A profile may come from anywhere. Archives are read with a cap on what they unpack to; names that would leave
the profile or mean two files, links, special files and setuid bits are refused, so that what is sent to a
target is plain files that are in the profile, and nothing else of the machine that sends it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import re
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from toolkit.engines.yaml_text import compose, mark_of
from toolkit.errors import CallError
from toolkit.reports.text import visible

#: Bytes a profile may have, unpacked. MITRE's largest baselines with their vendored dependencies have 20 MB.
MAX_BYTES = 128 << 20
MAX_FILES = 20_000
METADATA = "inspec.yml"
ARCHIVES = (".tar.gz", ".tgz", ".zip")

_NOT_SENT = frozenset({".git", ".kitchen", ".bundle", "__pycache__", "node_modules"})
_LOCKFILE = "inspec.lock"
_SHOWN = 200
"""Characters of a name that a message shows."""
_LONGEST_NAME = 255  # NAME_MAX of Linux's file systems: a longer part could not be laid out in a target
_SETID = stat.S_ISUID | stat.S_ISGID
_CONTROL = re.compile(rb"""^\s*control[ (]\s*(["'])([^"'\n]{1,200})\1""", re.MULTILINE)


@dataclass(frozen=True)
class InspecProfile:
    """A profile: its files by relative path, its metadata (`inspec.yml`), a hash of all its files."""

    files: Mapping[str, bytes]
    metadata: Mapping[str, Any]
    sha256: str

    def mentions(self, word: str) -> bool:
        """Say whether any file has this word, or may have: vendored archives are looked through as well."""
        pattern = re.compile(
            rb"(?<![\w-])" + re.escape(word.encode("utf-8", "surrogateescape")) + rb"(?![\w-])"
        )
        return any(pattern.search(text) for text in self._texts)

    @cached_property
    def control_ids(self) -> list[str]:
        """Return the ids of controls as far as they are written out."""
        found = (match.group(2) for text in self._texts for match in _CONTROL.finditer(text))
        return list(dict.fromkeys(each.decode(errors="replace") for each in found))

    @cached_property
    def _texts(self) -> list[bytes]:
        left, texts = MAX_BYTES, []
        for name, content in self.files.items():
            texts.append(_readable(name, content, left))
            left -= len(texts[-1])
            if left <= 0:
                break
        return texts


def read_profile(path: Path) -> InspecProfile:
    """Read a profile from a directory, a `.tar.gz` or a `.zip`; raises CallError in one line otherwise."""
    try:
        files = dict(_at_root(_entries(path), path))
    except OSError as error:
        raise CallError(
            f"{path} can't be read: {error.strerror or error}", "check the path and its mode"
        ) from None
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise CallError(f"{path} is no sound archive: {error}", "make it anew") from None
    metadata = _metadata(files, path)
    # InSpec 7 takes a profile with a gemspec anywhere in it for a gem, runs no control and ends in success.
    kept = {name: content for name, content in sorted(files.items()) if not name.endswith(".gemspec")}
    _check_dependencies(kept, metadata, path)
    if not any(name.startswith("controls/") for name in kept) and not metadata.get("depends"):
        raise CallError(f"{path} has no controls", f"put them in {path.name}/controls")
    return InspecProfile(kept, metadata, _hash(kept))


def _readable(name: str, content: bytes, limit: int) -> bytes:
    """Return a file's bytes, those of a gzip archive unpacked: a tar archive has its files as they are."""
    if not name.endswith((".tar.gz", ".tgz")):
        return content
    try:
        return zlib.decompressobj(wbits=31).decompress(content, limit)
    except zlib.error:
        return b""


def _entries(path: Path) -> Iterable[tuple[str, bytes]]:
    if path.is_dir():
        return _limited(_from_directory(path), path)
    if path.name.endswith(".zip"):
        return _limited(_from_zip(path), path)
    return _limited(_from_tar(path), path)


def _limited(entries: Iterable[tuple[str, bytes]], path: Path) -> Iterator[tuple[str, bytes]]:
    """Pass on what stays within the limits and under one name each: readers differ in which of two counts."""
    held, seen = 0, set[str]()
    for name, content in entries:
        if name in seen:
            raise CallError(f"{path} holds {visible(name, _SHOWN)!r} twice", "leave one of them out")
        held += len(content)
        seen.add(name)
        if held > MAX_BYTES or len(seen) > MAX_FILES:
            raise _too_large(path)
        yield name, content


def _too_large(path: Path) -> CallError:
    return CallError(
        f"{path} holds more than {MAX_BYTES >> 20} MiB or {MAX_FILES} files", "leave out what is not needed"
    )


def _from_directory(root: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the files below `root`; a link counts as the file that it leads to, if that is in the profile."""
    inside = root.resolve()

    def fail(error: OSError) -> None:
        raise error

    for folder, folders, names in os.walk(root, onerror=fail):
        folders[:] = sorted(name for name in folders if name not in _NOT_SENT)
        for name in (*sorted(names), *(each for each in folders if (Path(folder) / each).is_symlink())):
            path = Path(folder) / name
            relative = path.relative_to(root).as_posix()
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                raise CallError(f"{path} is a link that leaves the profile", "put a copy in its place")
            if path.is_dir():
                raise CallError(f"{path} is a link to a directory", "put a copy in its place")
            yield _safe(relative, root), _read_regular(path, inside)


def _read_regular(path: Path, inside: Path) -> bytes:
    """Read a file that is below `inside` also once it is open: a link may have been put there meanwhile."""
    if not stat.S_ISREG(path.stat().st_mode):  # before it is opened, which can make a device do something
        raise _no_regular_file(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        if not Path(f"/proc/self/fd/{descriptor}").readlink().is_relative_to(inside):
            raise CallError(f"{path} was changed while it was read", "scan when nobody works in the profile")
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _no_regular_file(path)
        return stream.read(MAX_BYTES + 1)


def _no_regular_file(path: Path) -> CallError:
    return CallError(f"{path} is no regular file", "leave it out of the profile")


class _Capped(io.RawIOBase):
    """What a gzip file unpacks to, up to a limit: tarfile reads headers of any announced size into memory."""

    def __init__(self, source: gzip.GzipFile, path: Path) -> None:
        self._source = source
        self._left = 2 * MAX_BYTES
        self._path = path

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes; raises CallError once more than the limit has been read."""
        data = self._source.read(self._left + 1 if size < 0 else min(size, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise _too_large(self._path)
        return data


def _from_tar(path: Path) -> Iterator[tuple[str, bytes]]:
    with gzip.open(path) as packed, tarfile.open(fileobj=_Capped(packed, path), mode="r|") as archive:
        for count, member in enumerate(archive):
            if count > MAX_FILES:  # directories too: each is kept in memory
                raise _too_large(path)
            if member.isdir():
                continue
            # The holes of a sparse file take no room in the archive: 8 GiB of them fit in 512 bytes.
            if not member.isreg() or member.issparse():
                raise CallError(
                    f"{path} holds {visible(member.name, _SHOWN)!r}, which is no regular file", "leave it out"
                )
            _refuse_setid(member.name, member.mode, path)
            stream = archive.extractfile(member)
            yield _safe(member.name, path), stream.read(MAX_BYTES + 1) if stream else b""


def _from_zip(path: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_FILES:
            raise _too_large(path)
        for entry in entries:
            if entry.filename.endswith("/"):
                continue
            if entry.flag_bits & 1:
                raise CallError(f"{path} is encrypted", "unpack it and name the directory")
            mode = entry.external_attr >> 16
            if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
                raise CallError(
                    f"{path} holds {visible(entry.filename, _SHOWN)!r}, which is no regular file",
                    "leave it out",
                )
            _refuse_setid(entry.filename, mode, path)
            # Of a name with a NUL byte zipfile takes the part before it, others may not: as it is stored.
            name = _safe(entry.orig_filename, path)
            with archive.open(entry) as stream:
                yield name, stream.read(MAX_BYTES + 1)


def _refuse_setid(name: str, mode: int, path: Path) -> None:
    """Raise CallError for a setuid or setgid bit: it is not sent, but somebody meant something by it."""
    if mode & _SETID:
        raise CallError(
            f"{path} holds {visible(name, _SHOWN)!r}, which is setuid or setgid", "don't use this archive"
        )


def _safe(name: str, path: Path) -> str:
    """Return the name without `./`; raises CallError for one that would leave the profile, or hide."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        raise CallError(
            f"{path} holds {visible(name, _SHOWN)!r}, which is outside of it", "don't use this archive"
        )
    if any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in name):
        raise CallError(
            f"{path} holds {visible(name, _SHOWN)!r}, whose name has control characters or is not UTF-8",
            "rename the file",
        )
    if any(len(part.encode()) > _LONGEST_NAME for part in parts):
        raise CallError(f"{path} holds {name[:40]!r}…, whose name is too long", "rename the file")
    return "/".join(parts)


def _at_root(entries: Iterable[tuple[str, bytes]], path: Path) -> Iterator[tuple[str, bytes]]:
    """Take away the one directory that an archive may have everything in, as those of forges do."""
    files = dict(entries)
    if not files:
        raise CallError(f"{path} is empty", "name an InSpec profile")
    for name in files:
        for parent in PurePosixPath(name).parents:
            if str(parent) in files:
                raise CallError(
                    f"{path} holds {visible(str(parent), _SHOWN)!r} as file and directory",
                    "don't use this archive",
                )
    tops = {name.partition("/")[0] for name in files}
    prefix = ""
    if METADATA not in files and len(tops) == 1 and f"{next(iter(tops))}/{METADATA}" in files:
        prefix = f"{next(iter(tops))}/"
    for name, content in files.items():
        relative = name.removeprefix(prefix)
        if relative.partition("/")[0] not in _NOT_SENT:
            yield relative, content


def _metadata(files: Mapping[str, bytes], path: Path) -> dict[str, Any]:
    if METADATA not in files:
        raise CallError(f"{path} has no {METADATA}", "name the directory or archive of an InSpec profile")
    text, where = files[METADATA], f"{path}/{METADATA}"
    if b"<%" in text:  # InSpec renders ERB in it first: it is YAML only then
        return {}
    compose(text, where)
    try:
        metadata = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise CallError(f"{where}: {mark_of(error)}", "correct it") from None
    except (
        ValueError,
        LookupError,
        AttributeError,
        RecursionError,
    ):  # of a value that its tag does not allow
        raise CallError(f"{where} has a value that is not of the type it says", "correct it") from None
    if not isinstance(metadata, dict) or not metadata.get("name"):
        raise CallError(f"{where} names no profile", "add a line `name: …`")
    return dict(metadata)


def _check_dependencies(files: Mapping[str, bytes], metadata: Mapping[str, Any], path: Path) -> None:
    """Raise CallError unless what the profile depends on came with it: inside a target nothing is fetched."""
    depends = metadata.get("depends")
    if not depends:
        return
    if not isinstance(depends, list) or not all(isinstance(each, dict) for each in depends):
        raise CallError(f"{path}/{METADATA}: `depends` is no list of profiles", "correct it")
    vendored = _LOCKFILE in files and any(name.startswith("vendor/") for name in files)
    missing = [str(each.get("name")) for each in depends if not (vendored or _is_inside(each, files))]
    if missing:
        raise CallError(
            f"{path} depends on {', '.join(missing)}, not vendored",
            f"run: cinc-auditor vendor {path}",
        )


def _is_inside(dependency: Mapping[str, Any], files: Mapping[str, bytes]) -> bool:
    place = os.path.normpath(str(dependency.get("path") or ".."))
    return f"{place}/{METADATA}" in files


def _hash(files: Mapping[str, bytes]) -> str:
    """Return the SHA-256 over, file by file in order of names, name, NUL and the content's SHA-256."""
    whole = hashlib.sha256()
    for name, content in sorted(files.items()):
        whole.update(name.encode("utf-8", "surrogateescape") + b"\0" + hashlib.sha256(content).digest())
    return whole.hexdigest()
