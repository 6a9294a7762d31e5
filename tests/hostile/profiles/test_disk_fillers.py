"""A profile fills what it may write to: with bytes, with names, with one file that has no end."""

from __future__ import annotations

import pytest

from tests.hostile.profiles.engine import TRIED, answered, malicious, naively, plant

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ATTACK = f"""{TRIED}
import os
os.chdir("%s")
def fill():
    with open("large", "wb", buffering=0) as file:
        for _ in range(20):
            if file.write(bytes(1 << 20)) < 1 << 20:
                raise OSError(28, "short")
def names():
    for number in range(150_000):
        os.close(os.open(f"names/{{number}}", os.O_CREAT | os.O_WRONLY))
def holes():
    with open("holes", "wb") as file:
        file.truncate((1 << 30) + 1)
tried("fill", fill)
os.unlink("large")
os.mkdir("names")
tried("holes", holes)
"""
NAMES = 'tried("names", names)\n'


def test_it_is_full_before_anything_else_is(works, container, scan, tmp_path):
    target = container(prepare=plant)
    had = naively(target.pid, ATTACK % tmp_path)
    works(had == ["fill done", "holes done"], "root's script fills the disk that it is given")
    said = answered(scan(target.uri, malicious(ATTACK % "/sys/firmware/tmp" + NAMES), scratch_bytes=8 << 20))
    assert said == ["fill ENOSPC", "holes EFBIG", "names ENOSPC"]
    assert target.written() == set()
