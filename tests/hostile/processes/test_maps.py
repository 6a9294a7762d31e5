"""Root of the target learns where code of whoever joins it lies, against which address randomisation stands.

From files of /proc/PID.
"""

from __future__ import annotations

import pytest

from tests.hostile.naive import joined
from tests.hostile.processes import others

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ACT = r"""
static int act(int pid)
{
    char content[40];
    return read_of(pid, argument, content, sizeof content) > 0;
}
"""


@pytest.mark.parametrize("name", ["maps", "auxv", "syscall"])
def test_none_of_it_is_told(works, container, scan, name):
    target = others.start(container, ACT, name)
    with joined(target.pid, "sleep", "30", capabilities=others.POOR):
        works(others.got(target, 3), f"it reads {name} of who has joined")
    others.scanned_in_vain(target, scan)
