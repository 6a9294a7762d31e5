"""Directories of very many entries, where a script holds all names at once."""

from __future__ import annotations

import os

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.naive import tool
from tests.hostile.trees.ways import empty, mounted, output

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ENTRIES = 200_000
NAME = "ld-linux-of-no-use-{:06}"  # among what the survey looks for in /lib
ALL = '"$2" -d "$1"/lib/*'
LOOK = f"{BIN}/ls -U /lib | {BIN}/wc -l; {BIN}/find /lib -name '*-199999'"


def test_the_survey_and_a_walk_end_within_the_limits(works, scan, tmp_path):
    with mounted(tmp_path, "-o", "nr_inodes=0"):
        lib = empty(tmp_path) / "lib"
        lib.mkdir()
        (lib / NAME.format(0)).touch()
        for number in range(1, ENTRIES):
            os.link(lib / NAME.format(0), lib / NAME.format(number))
        works("too long" in output("sh", "-c", ALL, "naive", tmp_path, tool("ls")), "a shell can't name them")
        attempt = scan(f"rootfs://{tmp_path}", LOOK, memory_bytes=256 << 20)
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == [str(ENTRIES), f"/lib/{NAME.format(ENTRIES - 1)}"]
    assert attempt.outcome.facts["libc"] == "glibc"
    assert attempt.seconds < 10
