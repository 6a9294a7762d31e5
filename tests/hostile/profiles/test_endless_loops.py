"""A profile never ends, obeys no signal, and leaves others to go on."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.hostile.profiles.engine import answered, end, malicious, plant, running

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ATTACK = """
import os, signal, time
mark = "%s"
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
for _ in range(2):
    if os.fork() == 0:
        os.setsid()
until = time.monotonic() + 60
while time.monotonic() < until:
    pass
"""


def test_the_deadline_ends_all_of_it(works, container, scan):
    mark = "naive-endless-loop"
    command = [sys.executable, "-I", "-S", "-c", ATTACK % mark]
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(command, timeout=1, check=False)
    left = running(mark)
    end(mark)
    works(left, "the time limit of a script ends the one process it has started")
    target = container(prepare=plant)
    attempt = scan(target.uri, malicious(ATTACK % "confined-endless-loop"), timeout=2)
    assert "did not finish in time" in str(attempt.error)
    assert not attempt.outcome.complete
    assert attempt.seconds < 12
    assert running("confined-endless-loop") == []
    assert answered(scan(target.uri, malicious(""))) == []
