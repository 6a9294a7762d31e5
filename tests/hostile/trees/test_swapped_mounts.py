"""Mounts come and go while a target is entered, so that what is read is not what the mount table tells of."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER, SYS_ADMIN, Container
from tests.hostile.naive import from_outside
from tests.hostile.trees.ways import MAKE, ready

pytestmark = [pytest.mark.root, pytest.mark.bundle]

SWAP = r"""
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>
int main(int count, char **arguments)
{
    make("/etc/passwd", "honest\n");
    make("/etc/forged", "forged\n");
    make("/tmp/log", "ready\n");
    for (;;) {
        mount("/etc/forged", "/etc/passwd", "", MS_BIND, 0);
        mount("t", "/mnt", "tmpfs", 0, 0);
        usleep(atoi(arguments[1]));
        umount2("/mnt", MNT_DETACH);
        umount2("/etc/passwd", MNT_DETACH);
        usleep(atoi(arguments[1]));
    }
}
"""
LOOK = (
    f"{BIN}/cat /etc/passwd; {BIN}/grep -c ' /etc/passwd ' /proc/mounts; {BIN}/grep -c ' /mnt ' /proc/mounts"
)


def _contradiction(target: Container) -> bool:
    """Read table and file one after the other, as a script does, until they tell of different things."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        mounted = " /etc/passwd " in Path(f"/proc/{target.pid}/mounts").read_text()
        if (from_outside(target.pid, "/etc/passwd").read_text() == "forged\n") != mounted:
            return True
    return False


@pytest.mark.parametrize("pause", [100, 20_000])
def test_content_and_table_are_of_one_moment(works, container, scan, pause):
    target = container(MAKE + SWAP, str(pause), caps=DOCKER | SYS_ADMIN)
    ready(target)
    works(_contradiction(target), "a script reads the forged file of which the table says nothing")
    complete = 0
    for _ in range(20):
        attempt = scan(target.uri, LOOK)
        if attempt.error:
            assert "mounts change all the time" in str(attempt.error)
            continue
        complete += 1
        content, over_file, over_directory = attempt.lines
        assert over_file == {"honest": "0", "forged": "1"}[content]
        assert over_directory in ({"0"} if content == "honest" else {"0", "1"})
    assert complete or pause < 1000
