"""Files that nobody may read, in directories that nobody may enter, and that nobody may change."""

from __future__ import annotations

import os

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.naive import tool
from tests.hostile.trees.ways import output

pytestmark = [pytest.mark.root, pytest.mark.bundle]

CAT = f"{BIN}/find /srv -type f -printf '%p %m %U\\n' -exec {BIN}/cat {{}} +"


def _plant(root):
    (root / "srv/closed").mkdir(parents=True)
    (root / "srv/closed/file").write_text("seen\n")
    (root / "srv/closed/file").chmod(0)
    os.chown(root / "srv/closed/file", 4711, 4711)
    (root / "srv/closed").chmod(0o7000)
    os.chown(root / "srv/closed", 4711, 4711)


@pytest.mark.parametrize("kind", ["pid", "rootfs", "image"])
def test_they_are_read_all_the_same(works, planted, scan, kind):
    uri, seen = planted(kind, _plant)
    confined = (tool("setpriv"), "--bounding-set=-all", "--inh-caps=-all")
    said = output(*confined, tool("cat"), seen / "srv/closed/file")
    works("Permission denied" in said, "root of a container, which has no capabilities, can't read them")
    attempt = scan(uri, CAT)
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == ["/srv/closed/file 0 4711", "seen"]
