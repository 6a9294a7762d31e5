"""What is to be found lies so deep that no path leads there (PATH_MAX, path_resolution(7))."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.naive import tool
from tests.hostile.trees.ways import output

pytestmark = [pytest.mark.root, pytest.mark.bundle]

DEPTH, NAME = 60, "d" * 100
FIND = (
    f"{BIN}/find /mnt -perm -4000 -printf '%f %d\\n';{BIN}/find /mnt -name secret -execdir {BIN}/cat {{}} \\;"
)


def _plant(root: Path) -> None:
    (root / "mnt").mkdir(exist_ok=True)
    here = os.open(root / "mnt", os.O_RDONLY)
    for _ in range(DEPTH):
        os.mkdir(NAME, 0o755, dir_fd=here)
        above, here = here, os.open(NAME, os.O_RDONLY, dir_fd=here)
        os.close(above)
    with os.fdopen(os.open("secret", os.O_WRONLY | os.O_CREAT, 0o755, dir_fd=here), "w") as file:
        file.write("deep\n")
        os.fchmod(file.fileno(), 0o4755)
    os.close(here)


@pytest.mark.parametrize("kind", ["pid", "rootfs"])
def test_it_is_found(works, planted, scan, kind):
    uri, seen = planted(kind, _plant)
    place = f"{seen}/mnt/{'/'.join([NAME] * DEPTH)}/secret"
    works("File name too long" in output(tool("cat"), place), "a script can't name it")
    walked = [file for _, _, files in os.walk(seen / "mnt") for file in files]
    works(walked == [], "a script that walks the tree finds nothing")
    attempt = scan(uri, FIND)
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == [f"secret {DEPTH + 1}", "deep"]
