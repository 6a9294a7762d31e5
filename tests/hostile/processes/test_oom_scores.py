"""Root of the target chooses whom the kernel takes under memory pressure, /proc/PID/oom_score_adj."""

from __future__ import annotations

import pytest

from tests.hostile.naive import joined
from tests.hostile.processes import others

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ACT = r"""
static int act(int pid)
{
    char before[20];
    int length = strlen(argument), fd = open_of(pid, "oom_score_adj", O_WRONLY);
    read_of(pid, "oom_score_adj", before, sizeof before);
    int changed = fd >= 0 && atoi(before) != atoi(argument) && write(fd, argument, length) == length;
    close(fd);
    return changed;
}
"""


def test_the_scan_is_the_first_to_go_already(works, container, scan):
    """Who set it without SYS_RESOURCE can't keep root of the target from lowering it, to its own harm."""
    target = others.start(container, ACT, "1000")
    with joined(target.pid, "sleep", "30", capabilities=others.POOR):
        works(others.got(target), "it has who has joined be killed first")
    attempt = scan(target.uri, others.SCRIPT, outputs=["out"])
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == [others.ANSWER, "0"]
