"""The strict reader of tar streams agrees with tarfile on sound archives, and refuses all else."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.unpack.tar import BLOCK, CutOffError, Entry, Reader, TarError

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
PARTS = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40)
NAMES = st.lists(PARTS, min_size=1, max_size=8).map("/".join)
ENTRIES = st.lists(
    st.tuples(NAMES, st.binary(max_size=1500), st.integers(0, 1 << 40), st.sampled_from("0125"), NAMES),
    max_size=6,
)


def archive(entries, layout: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=layout) as tar:
        for name, content, number, kind, link in entries:
            about = tarfile.TarInfo(name)
            about.uid = about.gid = number
            about.type = kind.encode()
            about.linkname = link if kind in "12" else ""
            about.size = len(content) if kind == "0" else 0
            tar.addfile(about, io.BytesIO(content) if kind == "0" else None)
    return out.getvalue()


def entries_of(data: bytes, piece: int = 1 << 20) -> list[tuple[Entry, bytes]]:
    reader = Reader(Trickle(data, piece))
    found = []
    while (entry := reader.next()) is not None:
        content = b""
        while part := reader.read(piece):
            content += part
        found.append((entry, content))
    return found


class Trickle:
    """A stream that gives less than it is asked for."""

    def __init__(self, data: bytes, piece: int) -> None:
        self._data, self._piece = io.BytesIO(data), piece

    def read(self, size: int, /) -> bytes:
        return self._data.read(min(size, self._piece))


@pytest.mark.parametrize("layout", ["gnu", "pax"])
@given(entries=ENTRIES, piece=st.sampled_from([7, 512, 100_000]))
def test_it_reads_what_tarfile_writes(layout, entries, piece):
    data = archive(entries, FORMATS[layout])
    found = entries_of(data, piece)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        theirs = [(each.name, each.linkname, each.uid, each.size) for each in tar]
    ours = [(each.name.rstrip("/"), each.link, each.uid, each.size) for each, _ in found]
    assert ours == [(name.rstrip("/"), link, uid, size) for name, link, uid, size in theirs]
    assert [content for _, content in found] == [
        content if kind == "0" else b"" for _, content, _, kind, _ in entries
    ]


def test_it_reads_ustar_with_its_prefix():
    name = "/".join(["directory"] * 12) + "/file"
    ((entry, content),) = entries_of(archive([(name, b"x", 5, "0", "")], tarfile.USTAR_FORMAT))
    assert (entry.name, entry.uid, content) == (name, 5, b"x")


@given(position=st.integers(0, 4000), value=st.integers(0, 255), cut=st.integers(0, 6000))
def test_a_broken_archive_never_ends_in_anything_but_its_own_error(position, value, cut):
    whole = bytearray(archive([("a" * 200, b"x" * 700, 1, "0", ""), ("b", b"", 2, "2", "c" * 200)], 2))
    whole[min(position, len(whole) - 1)] = value
    with open_or_tar_error():
        entries_of(bytes(whole[:cut]))


class open_or_tar_error:  # noqa: N801 reads as a statement
    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        return kind is not None and issubclass(kind, TarError)


def header(**fields: bytes) -> bytes:
    """Return the header of a file `x`, some fields of it spoilt, with the checksum it then has."""
    data = bytearray(archive([("x", b"", 0, "0", "")], tarfile.USTAR_FORMAT)[:BLOCK])
    places = {"size": 124, "kind": 156, "magic": 257, "end": 508}
    for field, value in fields.items():
        data[places[field] : places[field] + len(value)] = value
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data)
    return bytes(data)


def extended(kind: bytes, content: bytes) -> bytes:
    padding = bytes(-len(content) % BLOCK)
    return header(kind=kind, size=b"%011o\0" % len(content)) + content + padding


END = bytes(2 * BLOCK)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (header(kind=b"S") + END, "unknown type"),
        (header(kind=b"7") + END, "unknown type"),
        (header(magic=b"other\0") + END, "unknown format"),
        (header(end=b"tar\0") + END, "unknown format"),
        (header(size=b"-0000000001\0") + END, "number"),
        (header(size=b"\xff" * 12) + END, "number"),
        (header(size=b"00000000009\0") + END, "number"),
        (bytes(BLOCK) + header() + END, "goes on after its end"),
        (extended(b"x", b"12 path=/a/b\n") + header() + END, "malformed"),
        (extended(b"x", b"9 path=a\n" * 2) + header() + END, "twice"),
        (extended(b"x", b"11 path=a\0\n") + header() + END, "NUL"),
        (extended(b"x", b"11 size=-1\n") + header() + END, "number"),
        (extended(b"x", b"9 path=a\n") * 2 + header() + END, "two extended headers"),
        (extended(b"x", b"9 path=a\n") + extended(b"L", b"b\0") + header() + END, "in two ways"),
        (extended(b"L", b"b\0") * 2 + header() + END, "twice"),
        (extended(b"g", b"9 path=a\n") + header() + END, "global header"),
        (extended(b"x", b"22 GNU.sparse.major=1\n") + header() + END, "sparse"),
        (header(kind=b"x", size=b"%011o\0" % (2 << 20)) + END, "too long"),
    ],
)
def test_what_two_readers_could_read_differently_is_refused(data, words):
    with pytest.raises(TarError, match=words):
        entries_of(data)


@pytest.mark.parametrize(
    "data",
    [header()[:100], extended(b"x", b"9 path=a\n"), header(size=b"%011o\0" % 700) + bytes(600)],
)
def test_what_is_cut_off_says_so(data):
    with pytest.raises(CutOffError):
        entries_of(data)


def test_comments_for_all_entries_are_no_harm():
    found = entries_of(extended(b"g", b"14 comment=ab\n") + header() + END)
    assert [entry.name for entry, _ in found] == ["x"]


def test_an_end_without_zeros_is_one():
    assert len(entries_of(header())) == 1
    assert entries_of(b"") == []
