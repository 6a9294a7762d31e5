"""Files of a terabyte that take no room on the disk, where a script reads the whole of a file."""

from __future__ import annotations

import os

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.naive import tool
from tests.hostile.trees.ways import waits

pytestmark = [pytest.mark.root, pytest.mark.bundle]

PLACES = ("etc/passwd", "etc/os-release", "var/lib/dpkg/status.d/base.md5sums")
SIZE = 1 << 40


def _plant(root):
    for place in PLACES:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text("ID=giant\n")
        os.truncate(root / place, SIZE)


@pytest.mark.parametrize("kind", ["pid", "rootfs"])
def test_the_survey_reads_their_beginning(works, planted, scan, kind):
    uri, seen = planted(kind, _plant)
    works(waits(tool("cat"), seen / "etc/passwd"), "cat does not end")
    attempt = scan(uri, f"{BIN}/stat -c %s /etc/passwd; {BIN}/head -n1 /etc/passwd", timeout=10)
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == [str(SIZE), "ID=giant"]
    assert attempt.outcome.facts["os_release"] == {"ID": "giant"}


def test_a_control_that_reads_on_ends_with_the_deadline(works, planted, scan):
    uri, seen = planted("pid", _plant)
    works(waits(tool("cat"), seen / "etc/passwd"), "cat does not end")
    attempt = scan(
        uri, f"{BIN}/cat /etc/passwd >/sys/firmware/tmp/out; {BIN}/tail -n1 /etc/passwd", timeout=2
    )
    assert "did not finish in time" in str(attempt.error)
    assert attempt.lines == []
    assert attempt.seconds < 10
