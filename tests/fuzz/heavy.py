"""Inputs that are small to send and would be large to hold; too large for the corpus, so they are made."""

from __future__ import annotations

import gzip
import json
import struct
import tarfile
from collections.abc import Callable

from tests.fuzz.frames import frame
from tests.fuzz.targets import (
    auditor_image,
    conversation,
    exec_channel,
    inspec_report,
    job,
    scan,
    xccdf_results,
)
from tests.runtimes.image_builders import entry, layer
from toolkit.agent.stream import HEADER, MAX_PAYLOAD, Kind

_MIB = 1 << 20
_PREFIX = conversation.HELLO + frame(Kind.ACK, {})


def _zeros(megabytes: int) -> bytes:
    """Return gzip members, each of which unpacks to a megabyte of zeros."""
    return gzip.compress(bytes(_MIB), 9, mtime=0) * megabytes


def _long_header(megabytes: int, kind: bytes) -> bytes:
    """Return a compressed archive whose first header announces a name of this length."""
    about = tarfile.TarInfo("x")
    about.size, about.type = megabytes * _MIB, kind
    return gzip.compress(about.tobuf(tarfile.GNU_FORMAT), mtime=0) + _zeros(megabytes)


def _facts() -> bytes:
    many = b'{"a":[' + b"[]," * (MAX_PAYLOAD // 3 - 10) + b"[]]}"
    return _PREFIX + frame(Kind.FACTS, many) * 9


def _progress() -> bytes:
    line = b'barescan-progress {"control": "one", "status": "passed"}\n'
    return scan.conversation() + frame(Kind.STDOUT, line * 18_000) * 16


def _said() -> bytes:
    return _PREFIX + frame(Kind.STDERR, b"x" * MAX_PAYLOAD) * 24 + frame(Kind.STDOUT, b"x" * MAX_PAYLOAD) * 24


def _files() -> bytes:
    one = frame(Kind.FILE, {"name": "report.json", "size": 290 * _MIB})
    return _PREFIX + one + frame(Kind.DATA, bytes(MAX_PAYLOAD)) * 40


def _message() -> bytes:
    return b"\x82\x7f" + struct.pack("!Q", 1 << 40) + b"\x01" + bytes(320 * _MIB)


def _report() -> bytes:
    whole = inspec_report.report()
    whole["profiles"][0]["attributes"] = "ATTRIBUTES"
    text = json.dumps(whole).replace('"ATTRIBUTES"', "[" + "[]," * 2_000_000 + "[]]")
    return inspec_report.join({}, {}, {}).replace(b"{}", text.encode(), 1)


def _text_node() -> bytes:
    return xccdf_results.document().replace("said", "x" * (9 * _MIB)).encode()


def _laughs() -> bytes:
    entities = '<!ENTITY a0 "ha">' + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    return f"<!DOCTYPE b [{entities}]>".encode() + b"<b>&a11;</b>"


def _rules() -> bytes:
    results = '<rule-result idref="r1"><result>pass</result></rule-result>' * 40_000
    return xccdf_results.document().replace("<score>", f"{results}<score>").encode()


def _aliases() -> bytes:
    return b"a0: &a0 [x]\n" + b"".join(
        b"a%d: &a%d [%s]\n" % (n, n, b"*a%d," % (n - 1) * 10) for n in range(1, 30)
    )


def _files_of_a_job() -> bytes:
    return b"".join(frame(Kind.FILE, {"name": f"f{n}", "size": 0, "mode": 420}) for n in range(31_000))


INPUTS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a frame that announces four gigabytes": (
        "conversation",
        lambda: _PREFIX + HEADER.pack(Kind.DATA, 0xFFFFFFFF),
    ),
    "facts without end": ("conversation", _facts),
    "an output without end, and errors": ("conversation", _said),
    "an output that is announced large and cut off": ("conversation", _files),
    "progress without end": ("scan", _progress),
    "a job of very many files": ("job", lambda: job.HONEST + _files_of_a_job()),
    "a message that announces a terabyte": ("exec_channel", _message),
    "a frame of an engine that announces four gigabytes": (
        "exec_channel",
        lambda: exec_channel.DOCKER + struct.pack(">BxxxL", 2, 0xFFFFFFFF) + bytes(32 * _MIB),
    ),
    "a report of empty lists": ("inspec_report", _report),
    "a text of nine megabytes": ("xccdf_results", _text_node),
    "a billion laughs": ("xccdf_results", _laughs),
    "very many results": ("xccdf_results", _rules),
    "aliases of aliases": ("threshold_file", _aliases),
    "a list in a list without end": ("threshold_file", lambda: b"[" * 5_000),
    "a layer that unpacks to two gigabytes": ("image_layer", lambda: _zeros(2048)),
    "a layer with a name of a gigabyte": ("image_layer", lambda: _long_header(1024, b"L")),
    "an image that is compressed as a whole": ("image_archive", lambda: _long_header(1024, b"x")),
    "an auditor's layer with a header of a gigabyte": (
        "auditor_image",
        lambda: auditor_image.LAYER + _long_header(1024, b"x"),
    ),
    "an auditor's file of 300 megabytes": (
        "auditor_image",
        lambda: (
            auditor_image.LAYER + gzip.compress(_cut(entry("barescan/bin/x", size=1 << 30))) + _zeros(1024)
        ),
    ),
    "an archive with a name of a gigabyte": ("air_gap", lambda: _long_header(1024, b"L")),
    "a manifest of 300 megabytes": (
        "air_gap",
        lambda: gzip.compress(_cut(entry("barescan.json", size=300 << 20))) + _zeros(300),
    ),
}
"""What it shows → target and input."""


def _cut(one: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """Return the header alone."""
    return layer(one)[:512]
