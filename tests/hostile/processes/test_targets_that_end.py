"""The target ends when something joins it, or at any moment of the scan: half an answer for a whole one."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.naive import joined
from tests.hostile.processes import others

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ACT = r"""
static int act(int pid)
{
    usleep(200000);
    _exit(0);
}
"""
AUDIT = "echo clean so far; {0}sleep 1; echo evil"


def test_what_was_said_until_then_is_not_an_answer(works, container, scan):
    target = others.start(container, ACT)
    with joined(target.pid, "sh", "-c", AUDIT.format("")) as naive:
        works(
            naive.stdout and naive.stdout.read() == "clean so far\n",
            "the audit ends before it finds anything",
        )
    attempt = scan(others.start(container, ACT).uri, AUDIT.format(f"{BIN}/"))
    assert "the target ended during the scan" in str(attempt.error)
    assert attempt.error
    assert attempt.error.transient
    assert not attempt.outcome.complete


def test_it_may_end_at_any_moment(container, scan):
    for milliseconds in range(0, 240, 60):
        target = container()
        end = threading.Timer(milliseconds / 1000, os.kill, (target.pid, signal.SIGKILL))
        end.start()
        attempt = scan(target.uri, f"echo clean so far; {BIN}/sleep 1")
        end.join()
        assert attempt.error is not None
        assert not attempt.outcome.complete
        assert attempt.seconds < 8
