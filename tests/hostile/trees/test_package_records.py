"""The package records of a distroless image are links to secrets, pipes, giant, or too many to be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.naive import tool
from tests.hostile.trees.ways import SECRET, empty, mounted, output, waits

pytestmark = [pytest.mark.root, pytest.mark.bundle]

RECORD = "Package: base\nVersion: 1.2\nArchitecture: all\nMaintainer: x\nDescription: x\n"
ALL = 'cat "$1"/*'
QUERY = f"{BIN}/dpkg-query -W -f '${{Package}} ${{Version}}\\n'"


@pytest.fixture
def records(tmp_path) -> Iterator[Path]:
    """A tree in memory, with one record; the place of the records."""
    with mounted(tmp_path):
        place = empty(tmp_path) / "var/lib/dpkg/status.d"
        place.mkdir(parents=True)
        (place / "base").write_text(RECORD)
        yield place


def test_links_and_pipes_among_them_are_passed_over(works, scan, secret, records):
    (records / "link").symlink_to(secret)
    (records / "memory").symlink_to("/proc/self/mem")
    (records / "directory").mkdir()
    works(SECRET in output("sh", "-c", ALL, "naive", records), "cat shows the host's secret")
    os.mkfifo(records / "pipe")
    works(waits("sh", "-c", ALL, "naive", records), "cat waits for ever")
    attempt = scan(f"rootfs://{records.parents[3]}", QUERY)
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == ["base 1.2"]


def test_sums_of_a_terabyte_are_not_read(works, scan, records):
    (records / "0.md5sums").touch()
    os.truncate(records / "0.md5sums", 1 << 40)
    for number in range(1, 5000):
        os.link(records / "0.md5sums", records / f"{number}.md5sums")
    works(waits(tool("md5sum"), records / "0.md5sums"), "a program that reads them does not end")
    attempt = scan(f"rootfs://{records.parents[3]}", QUERY, timeout=5)
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == ["base 1.2"]


@pytest.mark.parametrize(
    ("content", "how_many", "said"),
    [
        ("Package: x\n", 20_000, "more than 10000 entries"),
        ("\n" * (1 << 20), 66, "more than 64 MiB"),
        (f"Description: {'x' * (1 << 20)}\nPackage: hidden\n", 1, "or 1 in one of them"),
    ],
    ids=["many", "large together", "large"],
)
def test_none_is_hidden_behind_what_can_not_be_read(works, scan, records, content, how_many, said):
    (records / "0").write_text(content)
    for number in range(1, how_many):
        os.link(records / "0", records / f"0{number}")
    naive = output("sh", "-c", 'set -- "$(cat "$1"/*)" && env "$@" true', "naive", records)
    works("too long" in naive, "a shell can't pass them on")
    attempt = scan(f"rootfs://{records.parents[3]}", QUERY)
    assert said in str(attempt.error)
    assert attempt.lines == []
    assert attempt.seconds < 10
