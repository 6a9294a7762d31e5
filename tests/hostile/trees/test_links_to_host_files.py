"""Files of the target are links that lead to the host's when they are followed there (CVE-2018-15664)."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.trees.ways import SECRET

pytestmark = [pytest.mark.root, pytest.mark.bundle]

NAMES = ("passwd", "os-release", "shadow", "resolv.conf")
CAT = f"for f in passwd os-release shadow resolv.conf; do {BIN}/cat /etc/$f; done; echo end"


# From within a mount namespace of its own the target can't climb by `..`; a tree on the host's disk can.
@pytest.mark.parametrize(
    ("kind", "up"),
    [("pid", ""), ("rootfs", ""), ("image", ""), ("rootfs", "../" * 40), ("image", "../" * 40)],
)
def test_they_end_in_the_target(works, planted, scan, secret, kind, up):
    def plant(root):
        for name in NAMES:
            (root / "etc" / name).symlink_to(f"{up}{str(secret)[1:]}" if up else secret)

    uri, seen = planted(kind, plant)
    works(all(SECRET in (seen / "etc" / name).read_text() for name in NAMES), "a host's script follows them")
    attempt = scan(uri, CAT)
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == ["end"]
    assert attempt.outcome.stderr.count("No such file") == len(NAMES)
    assert attempt.outcome.facts["os_release"] == {}
    assert SECRET not in f"{attempt}"
