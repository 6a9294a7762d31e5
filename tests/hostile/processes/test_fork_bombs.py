"""A target that forks until its control group lets it no more, so that whoever enters has no process left."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.processes import groups

pytestmark = [pytest.mark.root, pytest.mark.bundle]

BOUND = 100
# Begins once it is told to, in a group that bounds it; each new one forks as well.
BOMB = r"""
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>
static void begin(int number) {}
int main(void)
{
    signal(SIGUSR1, begin);
    close(open("/tmp/log", O_WRONLY | O_CREAT, 0644));
    pause();
    for (;; usleep(1000))
        fork();
}
"""


def test_the_scan_needs_no_process_of_the_targets_own(works, container, scan):
    with groups.bounded("pids", BOUND) as group:
        target = container(BOMB, caps=DOCKER)
        groups.join(group, target.pid)
        subprocess.run(["kill", "-USR1", str(target.pid)], check=True)
        _wait_until_full(group)
        command = [*groups.entering(group), "nsenter", "--target", str(target.pid), "--pid", "echo", "done"]
        naive = subprocess.run(command, capture_output=True, text=True, check=False)
        works("fork failed" in naive.stderr, "who enters its group may start nothing there")
        attempt = scan(target.uri, f"{BIN}/echo done; {BIN}/ls /proc | {BIN}/grep -c '^[0-9]'", timeout=30)
        subprocess.run(["kill", "-KILL", str(target.pid)], check=True)
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines[0] == "done"
    assert int(attempt.lines[1]) >= BOUND // 2
    assert target.written() == {"tmp/log"}


def _wait_until_full(group: Path) -> None:
    until = time.monotonic() + 10
    while int((group / "pids.current").read_text()) < BOUND:
        assert time.monotonic() < until
        time.sleep(0.02)
