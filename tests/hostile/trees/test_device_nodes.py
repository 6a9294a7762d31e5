"""Device nodes of the target are the host's disk, its memory, its kernel's log and its devices of power."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.hostile.conftest import BIN

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# Linux Documentation/admin-guide/devices.txt
NODES = {
    "disk": (stat.S_IFBLK, Path("/").stat().st_dev),
    "loop": (stat.S_IFBLK, os.makedev(7, 0)),
    "memory": (stat.S_IFCHR, os.makedev(1, 1)),
    "log": (stat.S_IFCHR, os.makedev(1, 11)),
    "fuse": (stat.S_IFCHR, os.makedev(10, 229)),
}
TRY = "for f in $0; do { : </etc/$f; } 2>&1 && echo opened; done"


def _plant(root):
    for name, (kind, number) in NODES.items():
        os.mknod(root / "etc" / name, 0o666 | kind, number)


def _opens(node: Path) -> bool:
    try:
        os.close(os.open(node, os.O_RDONLY | os.O_NONBLOCK))
    except OSError:  # not all of them are there on every host
        return False
    return True


@pytest.mark.parametrize("kind", ["pid", "rootfs", "image"])
def test_none_can_be_opened(works, planted, scan, kind):
    uri, seen = planted(kind, _plant)
    works([name for name in NODES if _opens(seen / "etc" / name)], "a script on the host opens them")
    attempt = scan(uri, f"{BIN}/stat -c %F /etc/log; " + TRY.replace("$0", " ".join(NODES)))
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines[0] == "character special file"
    assert len(attempt.lines) == 1 + len(NODES)
    assert all(line.endswith("Permission denied") for line in attempt.lines[1:])


def test_the_kernels_log_can_not_be_opened_without_that_wall(works, planted, scan):
    uri, seen = planted("pid", _plant)
    works(_opens(seen / "etc/log"), "a script on the host opens it")
    attempt = scan(uri, TRY.replace("$0", "log"), without=["nodev"])
    assert attempt.outcome.complete, attempt.error
    assert [line.rpartition(": ")[2] for line in attempt.lines] == ["Operation not permitted"]
