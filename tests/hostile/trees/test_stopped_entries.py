"""Whatever comes into the target's PID namespace is stopped at once, from before the scan enters on."""

from __future__ import annotations

import subprocess

import pytest

from tests.hostile.conftest import BIN, NOBODY
from tests.hostile.naive import joined, tool
from tests.hostile.trees.ways import MAKE, ready

pytestmark = [pytest.mark.root, pytest.mark.bundle]

STOPPER = r"""
#include <signal.h>
#include <unistd.h>
int main(void)
{
    make("/tmp/log", "ready\n");
    for (;;) {
        kill(-1, SIGSTOP);
        usleep(200);
    }
}
"""


def _ends(pid: int) -> bool:
    with joined(pid, tool("sleep"), "0.1") as process:
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:
            return False
        return True


def test_the_deadline_holds_against_root(works, container, scan):
    target = container(MAKE + STOPPER)
    ready(target)
    works(not _ends(target.pid), "a program that joins never ends")
    attempt = scan(target.uri, f"echo begun; {BIN}/sleep 0.1", timeout=2)
    assert "did not finish in time" in str(attempt.error)
    assert attempt.error.status == 2
    assert attempt.seconds < 10
    assert not attempt.outcome.complete


def test_others_can_stop_nothing(works, container, scan):
    target = container(MAKE + STOPPER, user=NOBODY)
    ready(target)
    works(_ends(target.pid), "a program of root's that joins is not stopped by nobody")
    attempt = scan(target.uri, f"{BIN}/sleep 0.1; echo end")
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == ["end"]
