"""The target's root is a FUSE file system that never answers."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from tests.hostile.conftest import DOCKER, SYS_ADMIN
from tests.hostile.naive import tool
from tests.hostile.trees import fuse

pytestmark = [pytest.mark.root, pytest.mark.bundle, fuse.NEEDED]

MAIN = r"""
int main(int count, char **arguments)
{
    int fd;
    begin();
    fd = silent("/mnt/a");
    if (fork()) {
        usleep(200000);
        close(fd);
        chroot("/mnt/a");
        chdir("/");
        fputs("ready\n", log);
        for (;;) pause();
    }
    serve(fd, 2);
}
"""


def test_it_is_refused_and_asked_nothing(works, container, scan):
    target = container(fuse.SILENT + MAIN, caps=DOCKER | SYS_ADMIN)
    log = target.folder / "upper/tmp/log"
    until = time.monotonic() + 10
    while not log.exists() or "ready" not in log.read_text():
        assert time.monotonic() < until
        time.sleep(0.02)
    before = log.read_text()
    attempt = scan(target.uri, "exit 0", timeout=5)
    assert log.read_text() == before
    naive = subprocess.Popen([tool("ls"), f"/proc/{target.pid}/root/"], stdout=subprocess.DEVNULL)
    time.sleep(0.5)
    works(naive.poll() is None and "waits" in log.read_text(), "ls waits for ever")
    os.kill(target.pid, signal.SIGKILL)  # before that nothing ends who waits
    naive.wait(10)
    assert "never be answered" in str(attempt.error)
    assert attempt.seconds < 5
