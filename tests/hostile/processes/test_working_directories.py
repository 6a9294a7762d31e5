"""Root of the target goes through the working directory of who joins it, /proc/PID/cwd, CVE-2024-21626."""

from __future__ import annotations

import pytest

from tests.hostile.naive import joined
from tests.hostile.processes import others

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ACT = r"""
static int act(int pid)
{
    read_of(pid, "cwd/../secret", what, sizeof what);
    int fd = open_of(pid, "cwd", O_PATH), reached = fd >= 0;
    close(fd);
    return reached;
}
"""


def test_it_is_not_reached(works, container, scan, tmp_path, monkeypatch):
    (tmp_path / "secret").write_text("of the host")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    target = others.start(container, ACT)
    with joined(target.pid, "sleep", "30", capabilities=others.POOR):
        works("of the host" in others.got(target), "it reads a file of the host beside the working directory")
    others.scanned_in_vain(target, scan)
