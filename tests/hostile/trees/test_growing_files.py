"""A file grows as fast as it is read, so that nobody gets to its end."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.naive import from_outside, tool
from tests.hostile.trees.ways import MAKE, ready, waits

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# What is added are holes, which take no memory.
GROW = r"""
#include <fcntl.h>
#include <unistd.h>
int main(void)
{
    int fd = open("/dev/shm/growing", O_WRONLY | O_CREAT, 0644);
    write(fd, "ID=growing\n", 11);
    symlink("/dev/shm/growing", "/etc/os-release");
    make("/tmp/log", "ready\n");
    for (long size = 1 << 20;; size += 1 << 28) {
        ftruncate(fd, size);
        usleep(1000);
    }
}
"""


def test_the_survey_ends_and_a_control_ends_with_the_deadline(works, container, scan):
    target = container(MAKE + GROW)
    ready(target)
    works(waits(tool("wc"), "-l", from_outside(target.pid, "/dev/shm/growing"), seconds=1), "wc does not end")
    attempt = scan(target.uri, f"{BIN}/head -n1 /etc/os-release; {BIN}/wc -l /etc/os-release", timeout=2)
    assert attempt.outcome.facts["os_release"] == {"ID": "growing"}
    assert attempt.lines == ["ID=growing"]
    assert "did not finish in time" in str(attempt.error)
    assert attempt.seconds < 9
