"""FIFOs without a writer stand where a script reads a file, and wait for ever."""

from __future__ import annotations

import os

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.naive import tool
from tests.hostile.trees.ways import waits

pytestmark = [pytest.mark.root, pytest.mark.bundle]

PLACES = ("etc/shadow", "etc/os-release", "usr/lib/os-release", "var/lib/dpkg/status.d/base", "usr/lib/x.so")


def _plant(root, places=PLACES):
    for place in places:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(root / place, 0o644)


@pytest.mark.parametrize("kind", ["pid", "rootfs", "image"])
def test_the_scan_itself_waits_for_none(works, planted, scan, kind):
    uri, seen = planted(kind, _plant)
    works(all(waits(tool("cat"), seen / place) for place in PLACES[:2]), "cat waits for ever")
    attempt = scan(uri, f"{BIN}/stat -c %F /etc/shadow; {BIN}/dpkg-query -W; echo end", timeout=10)
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == ["fifo", "end"]
    assert attempt.outcome.facts["os_release"] == {}


@pytest.mark.parametrize("place", ["etc/shadow", "etc/passwd"])
def test_a_control_that_waits_ends_with_the_deadline(works, planted, scan, place):
    uri, seen = planted("pid", lambda root: _plant(root, [place]))
    works(waits(tool("cat"), seen / place), "cat waits for ever")
    attempt = scan(uri, f"{BIN}/cat /{place}; echo end", timeout=2)
    assert "did not finish in time" in str(attempt.error)
    assert attempt.error.status == 2
    assert attempt.lines == []
    assert attempt.seconds < 8
