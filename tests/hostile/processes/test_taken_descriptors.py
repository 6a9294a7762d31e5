"""Root of the target takes what whoever joins it has open, the way to the client among it, pidfd_getfd(2)."""

from __future__ import annotations

import pytest

from tests.hostile.naive import joined
from tests.hostile.processes import others

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ACT = r"""
static int act(int pid)
{
    int pidfd = syscall(SYS_pidfd_open, pid, 0), taken = -1;
    for (int number = 0; number < 20 && taken < 0; number++)
        taken = syscall(SYS_pidfd_getfd, pidfd, number, 0);
    if (taken >= 0)
        sprintf(what, "wrote %d", (int)write(taken, "forged\n", 7));
    close(taken);
    close(pidfd);
    return taken >= 0;
}
"""


def test_none_is_taken(works, container, scan):
    target = others.start(container, ACT)
    script = "exec 0>&1; sleep 30"  # what it finds first is what goes to the client
    with joined(target.pid, "sh", "-c", script, capabilities=others.POOR) as naive:
        others.got(target)
        works(naive.stdout and naive.stdout.readline() == "forged\n", "it speaks to the client")
    others.scanned_in_vain(target, scan)
