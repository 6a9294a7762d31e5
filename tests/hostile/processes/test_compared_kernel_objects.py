"""Root of the target asks what whoever joins it has open, by comparing it with its own, kcmp(2)."""

from __future__ import annotations

import os

import pytest

from tests.hostile.naive import joined
from tests.hostile.processes import others

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ACT = r"""
static int act(int pid)
{
    for (int number = 0; number < 3; number++)
        if (syscall(SYS_kcmp, getpid(), pid, 0 /* KCMP_FILE */, 0, number) >= 0)
            return 1;
    return 0;
}
"""


def test_it_is_not_told(works, container, scan):
    target = others.start(container, ACT)
    with joined(target.pid, "sleep", "30", capabilities=others.POOR):
        found = others.got(target, 3)
    if not found and not os.path.exists("/proc/self/map_files"):  # noqa: PTH110 # comes with the same option
        pytest.skip("this kernel has no kcmp(2)")
    works(found is not None and len(found) == 1, "it compares its files with those of who has joined")
    others.scanned_in_vain(target, scan)
