"""A process of the target holds a lease on its file, so that whoever opens it has to wait (fcntl(2))."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import from_outside, tool
from tests.hostile.trees.ways import MAKE, ready, waits

pytestmark = [pytest.mark.root, pytest.mark.bundle]

LEASE = r"""
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>
int main(void)
{
    int fd = open("/dev/shm/leased", O_RDWR | O_CREAT, 0644);
    signal(SIGIO, SIG_IGN);
    write(fd, "ID=leased\n", 10);
    symlink("/dev/shm/leased", "/etc/os-release");
    make("/tmp/log", fcntl(fd, F_SETLEASE, F_WRLCK) ? "refused\n" : "ready\n");
    for (;;) pause();
}
"""


def test_it_does_not_stop_the_survey(works, container, scan):
    target = container(MAKE + LEASE, caps=DOCKER)
    ready(target)
    works(waits(tool("cat"), from_outside(target.pid, "/dev/shm/leased"), seconds=1), "cat has to wait")
    attempt = scan(target.uri, f"{BIN}/stat -c %s /dev/shm/leased", timeout=10)
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == ["10"]
    assert attempt.seconds < 5
