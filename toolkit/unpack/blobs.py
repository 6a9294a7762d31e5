"""The files of an image archive or layout by name, wherever they are; nothing is known here of images."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import posixpath
import stat
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from toolkit.errors import CallError, ScanError
from toolkit.unpack.limits import MAX_JSON_BYTES, Budget
from toolkit.unpack.tar import CHUNK, CutOffError, Entry, Readable, Reader, TarError

GZIP: Final = b"\x1f\x8b"
_MOST_ALIASES = 8  # links from member to member; docker save makes one
_MOST_FILES = 20_000  # a few for each layer of each platform
Opened = io.BufferedReader | io.RawIOBase


class Blobs(ABC):
    """Named files."""

    what: str
    """How the user knows the whole."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Return whether there is such a file."""

    @abstractmethod
    def open(self, name: str) -> Opened:
        """Open a file; raises ScanError when it is missing."""

    def small(self, name: str) -> bytes:
        """Return the content of a file that must not be large."""
        with self.open(name) as file:
            content = file.read(MAX_JSON_BYTES + 1)
        if len(content) > MAX_JSON_BYTES:
            raise ScanError(
                f"{name[:200]!r} in {self.what} is larger than {MAX_JSON_BYTES >> 20} MiB", "is it JSON?"
            )
        return content

    def _missing(self, name: str) -> ScanError:
        return ScanError(
            f"{self.what} lacks {name[:200]!r}", "it is incomplete: save the image anew (all of its layers)"
        )


class DirectoryBlobs(Blobs):
    """A directory, as an OCI layout is."""

    def __init__(self, path: Path) -> None:
        """Take the directory as it is."""
        self._path = path
        self.what = str(path)

    def has(self, name: str) -> bool:
        """Return whether there is such a regular file."""
        return _is_below(name) and (self._path / name).is_file()

    def open(self, name: str) -> Opened:
        """Open a regular file; anything else could block."""
        if not _is_below(name):
            raise self._missing(name)
        try:
            fd = os.open(self._path / name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, ValueError):  # the latter for what can be no name
            raise self._missing(name) from None
        except OSError as error:
            raise ScanError(
                f"{name[:200]!r} in {self.what} can't be read: {error.strerror}", "try as root"
            ) from None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise self._missing(name)
        return os.fdopen(fd, "rb")


_PLAIN = io.BufferedReader | io.BufferedRandom | io.BytesIO
"""Files that are read in place: what unpacks, or comes from a socket, can't go back."""


def _is_below(name: str) -> bool:
    return not name.startswith("/") and ".." not in name.split("/")


class ArchiveBlobs(Blobs):
    """A tar archive: read in place where possible, else its files are put into a directory of ours."""

    def __init__(self, what: str, archive: Readable, spool: Path | None, budget: Budget) -> None:
        """Read `archive` through once; raises ScanError when it is no sound tar archive.

        Without `spool` it has to be a plain file, in which nothing has to be kept elsewhere.

        `archive` is closed by its owner, after this object's last use.
        """
        self.what = what
        self._files: dict[str, tuple[Path | BinaryIO, int, int]] = {}
        self._aliases: dict[str, str] = {}
        self._spool, self._budget = spool, budget
        in_place = archive if isinstance(archive, _PLAIN) else None
        with sound(what, "save the image anew, as an archive of `docker save` or an OCI layout"):
            reader = Reader(archive, _seek_past(in_place) if in_place else None)
            while (entry := reader.next()) is not None:
                self._take(entry, reader, in_place)
        if not self._files:
            raise ScanError(f"{what} is empty", "save the image anew")

    def _take(self, entry: Entry, reader: Reader, in_place: BinaryIO | None) -> None:
        self._budget.check_time()
        name = posixpath.normpath(entry.name)
        if name in self._files or name in self._aliases:
            raise TarError(f"it holds {name[:100]!r} twice")
        if len(self._files) + len(self._aliases) > _MOST_FILES:
            raise TarError("it holds too many files for an image")
        if entry.kind == "0":
            place = (in_place, in_place.tell(), entry.size) if in_place else self._keep(reader)
            self._files[name] = place
        elif entry.kind == "1":
            self._aliases[name] = posixpath.normpath(entry.link)
        elif entry.kind == "2":
            self._aliases[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), entry.link))

    def _keep(self, reader: Reader) -> tuple[Path, int, int]:
        if self._spool is None:
            raise TypeError("an archive without a place for its files has to be a plain file")
        path = self._spool / str(len(self._files))
        size = 0
        with path.open("xb") as file:
            while data := reader.read(CHUNK):
                self._budget.keep(len(data))
                file.write(data)
                size += len(data)
        return path, 0, size

    def has(self, name: str) -> bool:
        """Return whether there is such a file, or a link that leads to one."""
        return self._name(name) in self._files

    def open(self, name: str) -> Opened:
        """Open a file; only one at a time is to be used where the archive is read in place."""
        found = self._files.get(self._name(name))
        if found is None:
            raise self._missing(name)
        source, start, size = found
        if isinstance(source, Path):
            return source.open("rb")
        return _Part(source, start, size)

    def _name(self, name: str) -> str:
        name = posixpath.normpath(name)
        for _ in range(_MOST_ALIASES):
            name = self._aliases.get(name, name)
        return name


class _Part(io.RawIOBase):
    """A range of bytes of a file that stays open."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        super().__init__()
        self._file, self._start, self._at, self._end = file, start, start, start + size

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if offset or whence != os.SEEK_SET:
            raise io.UnsupportedOperation("it only goes back to its start")
        self._at = self._start
        return 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        left = self._end - self._at
        self._file.seek(self._at)
        data = self._file.read(left if size < 0 else min(size, left))
        self._at += len(data)
        return data


def opened(path: Path, spool: Path, budget: Budget, stack: contextlib.ExitStack) -> Blobs:
    """Return the files of an OCI layout directory or of an archive, plain or gzip-compressed.

    Raises CallError when the path leads to neither, ScanError for a broken archive.
    """
    if path.is_dir():
        return DirectoryBlobs(path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise CallError(
            f"{path} can't be read: {error.strerror}",
            "name an archive (docker save), or an OCI layout (directory or archive)",
        ) from None
    archive = stack.enter_context(os.fdopen(fd, "rb"))
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise CallError(f"{path} is no file", "name an archive, or the directory of an OCI layout")
    if archive.read(len(GZIP)) == GZIP:
        archive.seek(0)
        budget.step(f"decompressing {path.name}")
        return ArchiveBlobs(str(path), stack.enter_context(gzip.GzipFile(fileobj=archive)), spool, budget)
    archive.seek(0)
    return ArchiveBlobs(str(path), archive, spool, budget)


@contextlib.contextmanager
def sound(what: str, remedy: str) -> Iterator[None]:
    """Turn what is wrong with a tar or gzip stream into a ScanError about `what`."""
    try:
        yield
    except CutOffError as error:
        raise ScanError(f"{what} is cut off: {error}", remedy) from None
    except EOFError:
        raise ScanError(f"{what} is cut off: its compressed data end too early", remedy) from None
    except TarError as error:
        raise ScanError(f"{what} is no sound tar archive: {error}", remedy) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ScanError(f"{what} is not decompressed without errors: {error}", remedy) from None


def _seek_past(archive: BinaryIO) -> Callable[[int], None]:
    end = archive.seek(0, os.SEEK_END)
    archive.seek(0)

    def skip(count: int) -> None:
        if archive.tell() + count > end:
            raise CutOffError("it ends in the middle of a file")
        archive.seek(count, os.SEEK_CUR)

    return skip
