"""A profile prints what the agent would say: frames of a result, of a report, of the end; lines of progress.

About itself a profile can always lie: that a control passed is its own word. It can't speak for the agent.
"""

from __future__ import annotations

import pytest

from tests.hostile.profiles.engine import malicious, plant
from tests.hostile.streams.peer import RESULT, end, file, trusting

pytestmark = [pytest.mark.root, pytest.mark.bundle]

FORGED = file("report", b"all passed") + RESULT + end(RESULT)
ATTACK = f"""
import os
for number in range(64):
    try:
        os.write(number, {FORGED!r})
    except OSError:
        pass
os.kill(os.getppid(), 9)
"""
KILLED = -9


def test_they_are_output_like_any_other(works, container, scan, tmp_path):
    believed = trusting(tmp_path, FORGED)
    works(
        believed["complete"] and believed["exit_status"] == 0,
        "who reads results from what is printed has one",
    )
    target = container(prepare=plant)
    attempt = scan(target.uri, malicious(ATTACK), outputs=["report"])
    assert attempt.outcome.complete, attempt.error
    assert attempt.outcome.exit_status == KILLED
    assert attempt.outputs == {}
    assert "exit_status" in attempt.outcome.stderr
