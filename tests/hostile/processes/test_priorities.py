"""Root of the target takes the processor from whatever joins it: nice, one core, idle class, idle input."""

from __future__ import annotations

import pytest

from tests.hostile.naive import joined
from tests.hostile.processes import others

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ACT = r"""
#include <sched.h>
#include <sys/resource.h>
static int act(int pid)
{
    struct sched_param none = {0};
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    if (argument[0] == 'n')
        return setpriority(PRIO_PROCESS, pid, 19) == 0;
    if (argument[0] == 'c')
        return sched_setaffinity(pid, sizeof one, &one) == 0;
    if (argument[0] == 'i')
        return sched_setscheduler(pid, SCHED_IDLE, &none) == 0;
    return syscall(SYS_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, pid, 3 << 13 /* IOPRIO_CLASS_IDLE */) == 0;
}
"""


@pytest.mark.parametrize("what", ["nice", "core", "idle", "disk"])
def test_it_gains_time_and_nothing_else(works, container, scan, what):
    """No kernel keeps root from slowing down its own user's processes: the answers have to be true."""
    target = others.start(container, ACT, what)
    with joined(target.pid, "sleep", "30", capabilities=others.POOR):
        works(others.got(target), "it slows down who has joined")
    attempt = scan(target.uri, others.SCRIPT, outputs=["out"])
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == [others.ANSWER, "0"]
    assert attempt.outputs == {"out": b"honest\n"}
