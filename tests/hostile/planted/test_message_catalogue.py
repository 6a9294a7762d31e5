"""Translations of the target: tools print with them, so they are an attacker's format strings (%n, %s)."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle]
MAGIC = 0x950412DE  # GNU gettext manual, "The Format of GNU MO Files"
MESSAGE, TRANSLATION = "cannot access %s", "stack: %2$lx %3$lx %4$lx"
ENVIRONMENT = {"LANGUAGE": "de", "LC_ALL": "C.UTF-8"}
HELD = ("/usr/share/locale", "/usr/share/locale-langpack", "/usr/lib/locale")


def _catalogue(pairs: dict[str, str]) -> bytes:
    keys = sorted(pairs)
    texts = [text.encode() + b"\0" for text in (*keys, *(pairs[key] for key in keys))]
    table, heap, at = b"", b"", 28 + 16 * len(keys)
    for text in texts:
        table += struct.pack("<II", len(text) - 1, at + len(heap))
        heap += text
    header = struct.pack("<7I", MAGIC, 0, len(keys), 28, 28 + 8 * len(keys), 0, 0)
    return header + table + heap


def _plant(root: Path) -> None:
    content = _catalogue({"": "Content-Type: text/plain; charset=UTF-8\n", MESSAGE: TRANSLATION})
    for folder in HELD:
        place = root / folder.lstrip("/") / "de/LC_MESSAGES/coreutils.mo"
        place.parent.mkdir(parents=True)
        place.write_bytes(content)


@payload.both
def test_they_are_not_read(works, container, scan, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("ls"), "/nothing"], ENVIRONMENT)
    works("stack: " in naive.complaint, "ls in the chroot prints with the target's format string")
    given = " ".join(f"{name}={value}" for name, value in ENVIRONMENT.items())
    script = f"{given} ls /nothing; {BIN}/env -i {given} {BIN}/ls /nothing; {given} stat /nothing"
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed)
    assert attempt.outcome.stderr.count("cannot access '/nothing': No such file or directory") == 2
    assert "stack" not in attempt.outcome.stderr
