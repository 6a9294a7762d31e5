"""Root of the target goes through the root of whoever joins it, /proc/PID/root, to the files of the host."""

from __future__ import annotations

import pytest

from tests.hostile.naive import joined
from tests.hostile.processes import others

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ACT = r"""
static int act(int pid)
{
    char path[300];
    snprintf(path, sizeof path, "root%s", argument);
    read_of(pid, path, what, sizeof what);
    int fd = open_of(pid, "root", O_PATH), reached = fd >= 0;
    close(fd);
    return reached;
}
"""


def test_it_is_not_reached(works, container, scan, tmp_path):
    (tmp_path / "secret").write_text("of the host")
    target = others.start(container, ACT, str(tmp_path / "secret"))
    with joined(target.pid, "sleep", "30", capabilities=others.POOR):
        works("of the host" in others.got(target), "it reads a file of the host")
    others.scanned_in_vain(target, scan)
