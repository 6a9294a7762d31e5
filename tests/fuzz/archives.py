"""Tar archives, to be spoilt by their entries or by their bytes."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import zlib
from random import Random

from tests.fuzz.harness import mutate_bytes
from tests.runtimes.image_builders import device, entry, hard_link, layer, link

TREE = (
    *(
        entry("etc/"),
        entry("etc/os-release", b"ID=x\n"),
        link("lib", "usr/lib"),
        entry("usr/"),
        entry("usr/lib/"),
    ),
    *(
        entry("lib/a", b"a" * 600),
        hard_link("b", "etc/os-release"),
        entry("etc/.wh.passwd"),
        entry("opt/.wh..wh..opq"),
    ),
    *(device("dev/null"), entry("long/" + "n" * 120, b"x"), entry("caf\u00e9", b"x")),
)
_NAMES = (
    *(
        b"../x",
        b"/etc/x",
        b"lib",
        b"lib/../../x",
        b".wh..wh..opq",
        b".wh...",
        b"",
        b".",
        b"etc",
        b"\xff\xfe",
        b"a" * 99,
    ),
    *(b"barescan.json", b"manifest.json", b"images/../x", b"profiles/x", b"index.json", b"oci-layout"),
)
_NUMBERS = (
    b"77777777777",
    b"\x80" + b"\xff" * 11,
    b"\xff" * 12,
    b"-1",
    b"0",
    b"00000001000",
    b"\x80" + b"\0" * 7 + b"\1\0\0\0",
)
_KINDS = b"01234567xgLKSVNDM\0A"
_PAX = (
    *(
        b"12 path=../a\n",
        b"17 size=99999999\n",
        b"22 GNU.sparse.major=1\n",
        b"11 uid=-10\n",
        b"9 path=\n",
        b"x\n",
    ),
    *(b"30 trusted.overlay.opaque=y...\n", b"16 hdrcharset=X\n", b"99999 path=a\n", b"17 linkpath=/etc\n"),
)


def tree() -> bytes:
    """Return an honest layer."""
    return layer(*TREE)


def resummed(header: bytes) -> bytes:
    """Return a header with the checksum that belongs to it."""
    header = header[:148] + b" " * 8 + header[156:]
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


def _headers(data: bytes) -> list[int]:
    """Return where headers are, told by their magic: no reader is asked."""
    return [found.start() - 257 for found in re.finditer(b"ustar", data) if (found.start() - 257) % 512 == 0]


def _spoil_header(header: bytes, random: Random) -> bytes:
    fields = {(0, 100): _NAMES, (157, 257): _NAMES, (124, 136): _NUMBERS, (108, 116): _NUMBERS}
    (start, end), values = random.choice(list(fields.items()))
    match random.randrange(4):
        case 0:
            return header[:156] + bytes([random.choice(_KINDS)]) + header[157:]
        case 1:
            place = random.randrange(512)
            return header[:place] + bytes([random.randrange(256)]) + header[place + 1 :]
        case _:
            return (
                header[:start] + random.choice(values)[: end - start].ljust(end - start, b"\0") + header[end:]
            )


def _extension(random: Random) -> bytes:
    text = b"".join(random.choice(_PAX) for _ in range(random.randint(1, 3)))
    about = tarfile.TarInfo("x")
    about.size, about.type = len(text), random.choice((b"x", b"g", b"L", b"K"))
    return about.tobuf(tarfile.USTAR_FORMAT) + text.ljust(512, b"\0")


def mutate(data: bytes, random: Random) -> bytes:
    """Spoil headers, with a checksum that is right again, or order, number and bytes of blocks."""
    if data[:2] == b"\x1f\x8b" and random.random() < 0.7:
        try:
            plain = gzip.GzipFile(fileobj=io.BytesIO(data)).read(1 << 20)
        except (OSError, EOFError, zlib.error):
            return mutate_bytes(data, random)
        return gzip.compress(mutate(plain, random), 1, mtime=0)
    for _ in range(random.randint(1, 3)):
        headers = _headers(data)
        if not headers or random.random() < 0.15:
            return mutate_bytes(data, random)
        start, other = random.choice(headers), random.choice(headers)
        match random.randrange(6):
            case 0:
                data = data[:start] + _extension(random) + data[start:]
            case 1:
                data = data[:start] + data[other : other + random.choice((512, 1024))] + data[start:]
            case 2:
                data = data[:start] + data[start + 512 :]
            case _:
                spoilt = resummed(_spoil_header(data[start : start + 512].ljust(512, b"\0"), random))
                data = data[:start] + spoilt + data[start + 512 :]
    return data
