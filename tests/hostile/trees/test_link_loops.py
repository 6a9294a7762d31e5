"""Links in circles, and directories that are links to themselves, which a walk doubles at every step."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.naive import tool
from tests.hostile.trees.ways import waits

pytestmark = [pytest.mark.root, pytest.mark.bundle]

WALK = "import os, sys; print(sum(1 for _ in os.walk(sys.argv[1], followlinks=True)))"
LOOK = f"{BIN}/cat /etc/passwd; {BIN}/id; {BIN}/find -L /mnt -name file; {BIN}/grep -rl content /mnt"


def _plant(root):
    for name in ("passwd", "os-release", "group"):
        (root / "etc" / name).symlink_to(f"/etc/{name}.")
        (root / "etc" / f"{name}.").symlink_to(f"/etc/{name}")
    (root / "mnt/deep").mkdir(parents=True)
    for name in "abc":
        (root / "mnt" / name).symlink_to(".")
    (root / "mnt/deep/file").write_text("content\n")


@pytest.mark.parametrize("kind", ["pid", "rootfs", "image"])
def test_every_walk_ends(works, planted, scan, kind):
    uri, seen = planted(kind, _plant)
    works(waits(tool("python3"), "-c", WALK, seen / "mnt"), "a script that follows links does not end")
    attempt = scan(uri, LOOK, timeout=10)
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines[0].startswith("uid=0")
    assert attempt.lines[1:] == ["/mnt/deep/file"] * 2
    assert attempt.outcome.facts["os_release"] == {}
    assert "/etc/passwd: Too many levels of symbolic links" in attempt.outcome.stderr
