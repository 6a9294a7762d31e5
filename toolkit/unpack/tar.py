"""A strict reader of tar streams, in flat memory.

Python's tarfile takes a broken header for the end of the archive and merges global headers into every entry,
where Go's reader, which unpacks afterwards, does not. What two readers could read differently is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

BLOCK: Final = 512
CHUNK: Final = 1 << 20
_MAX_EXTENSION = 1 << 20  # Go refuses more than that in one extended header
_XATTR = "SCHILY.xattr."
_NO_DATA = frozenset("123456")


class Readable(Protocol):
    """Something that gives bytes, fewer than asked for only at its end or when it pleases."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; none at the end."""


class TarError(Exception):
    """The stream is not a tar archive, or one that no builder of images writes."""


class CutOffError(TarError):
    """The stream ends in the middle of an entry."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry; `kind` is the type flag.

    0 file, 1 hard link, 2 symbolic link, 3 and 4 devices, 5 directory, 6 pipe.
    """

    name: str
    kind: str
    link: str
    size: int
    uid: int
    gid: int
    mode: int
    xattrs: tuple[str, ...] = ()
    """Names of the extended attributes that will be set."""


class Reader:
    """Entries one after the other; the data of the current one may be read, or is skipped."""

    def __init__(self, stream: Readable, skip: Callable[[int], None] | None = None) -> None:
        """Read from `stream`; `skip` moves it forward where it can seek."""
        self._stream = stream
        self._skip_bytes = skip or self._read_past
        self._left = 0
        self._padding = 0

    def next(self) -> Entry | None:
        """Return the next entry, None at the end; raises TarError for what is no tar archive."""
        self._finish()
        extended: dict[str, str] = {}
        long_names: dict[str, str] = {}
        while (header := self._header()) is not None:
            kind = header[156:157].decode("latin-1")
            size = _number(header[124:136])
            if kind in "xgLK":
                content = self._extension(size)
                if kind == "x":
                    _once(extended)
                    extended = _pax(content)
                elif kind == "g":
                    _only_comments(content)
                elif kind in long_names:
                    raise TarError("a name is given twice")
                else:
                    long_names[kind] = _text(content)
                continue
            if extended and long_names:
                raise TarError("a name is given in two ways")
            return self._entry(header, kind, size, extended, long_names)
        if extended or long_names:
            raise CutOffError("it ends after an extended header")
        return None

    def read(self, size: int) -> bytes:
        """Return data of the current entry, none at its end."""
        data = self._stream.read(min(size, self._left))
        if not data and self._left and size:
            raise CutOffError("it ends in the middle of a file")
        self._left -= len(data)
        return data

    def _entry(
        self, header: bytes, kind: str, size: int, extended: dict[str, str], long_names: dict[str, str]
    ) -> Entry:
        name, link = _name(header), _text(header[157:257])
        name = extended.get("path") or long_names.get("L") or name
        link = extended.get("linkpath") or long_names.get("K") or link
        size = _decimal(extended["size"]) if extended.get("size") else size
        uid = _decimal(extended["uid"]) if extended.get("uid") else _number(header[108:116])
        gid = _decimal(extended["gid"]) if extended.get("gid") else _number(header[116:124])
        if kind == "\0":
            kind = "5" if name.endswith("/") else "0"
        if kind not in "0123456":
            raise TarError(f"{name[:100]!r} is of the unknown type {kind!r}")
        if kind in _NO_DATA:
            size = 0
        self._left, self._padding = size, -size % BLOCK
        xattrs = tuple(key.removeprefix(_XATTR) for key in extended if key.startswith(_XATTR))
        mode = _number(header[100:108])
        return Entry(name, kind, link, size, uid, gid, mode, xattrs)

    def _header(self) -> bytes | None:
        header = self._block()
        if header is None:
            return None
        if not any(header):
            following = self._block()
            if following is not None and any(following):
                raise TarError("it goes on after its end")
            return None
        if sum(header) - sum(header[148:156]) + 8 * 32 != _number(header[148:156]):
            raise TarError("a header has a wrong checksum")
        if header[257:263] not in {b"ustar\0", b"ustar ", b"\0" * 6} or header[508:512] == b"tar\0":
            raise TarError("a header is of an unknown format")
        return header

    def _block(self) -> bytes | None:
        block = b""
        while len(block) < BLOCK:
            data = self._stream.read(BLOCK - len(block))
            if not data:
                break
            block += data
        if block and len(block) < BLOCK:
            raise CutOffError("it ends in the middle of a header")
        return block or None

    def _extension(self, size: int) -> bytes:
        if size > _MAX_EXTENSION:
            raise TarError("an extended header is too long")
        self._left, self._padding = size, -size % BLOCK
        content = b""
        while data := self.read(size):
            content += data
        self._finish()
        return content

    def _finish(self) -> None:
        """Go to the next header."""
        if self._left or self._padding:
            self._skip_bytes(self._left + self._padding)
            self._left = self._padding = 0

    def _read_past(self, count: int) -> None:
        while count:
            data = self._stream.read(min(count, CHUNK))
            if not data:
                raise CutOffError("it ends in the middle of a file")
            count -= len(data)


def _once(extended: dict[str, str]) -> None:
    if extended:
        raise TarError("an entry has two extended headers")


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _name(header: bytes) -> str:
    """Return the name; its prefix belongs to it in the POSIX format only."""
    name, prefix = _text(header[:100]), _text(header[345:500])
    return f"{prefix}/{name}" if prefix and header[257:263] == b"ustar\0" else name


def _number(field: bytes) -> int:
    """Return an octal number, or one in base 256."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    text = field.strip(b" \0")
    if not text:
        return 0
    if not text.isdigit() or set(text) & set(b"89"):
        raise TarError("a header has a number that is none")
    return int(text, 8)


def _decimal(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise TarError(f"an extended header has the number {text[:30]!r}")
    return int(text)


def _pax(content: bytes) -> dict[str, str]:
    """Return the records of an extended header, pax(1): `LENGTH KEY=VALUE` and a newline."""
    records: dict[str, str] = {}
    start = 0
    while start < len(content):
        said, _, _ = content[start : start + 20].partition(b" ")
        length = int(said) if said.isdigit() else 0
        record = content[start : start + length]
        start += length
        key, separator, value = record[len(said) + 1 : -1].partition(b"=")
        if not key or not separator or len(record) != length or not record.endswith(b"\n"):
            raise TarError("an extended header is malformed")
        name = key.decode("utf-8", "surrogateescape")
        if name in records:
            raise TarError(f"an extended header has {name[:100]!r} twice")
        if name.startswith("GNU.sparse."):
            raise TarError("it has sparse files")
        if name in {"path", "linkpath"} and b"\0" in value:
            raise TarError("a name has a NUL in it")
        records[name] = value.decode("utf-8", "surrogateescape")
    return records


def _only_comments(content: bytes) -> None:
    if set(_pax(content)) - {"comment"}:
        raise TarError("a global header changes all entries")
