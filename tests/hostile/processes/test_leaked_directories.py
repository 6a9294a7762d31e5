"""Root of the target opens what whoever joins it has open, through /proc/PID/fd (CVE-2024-21626)."""

from __future__ import annotations

import pytest

from tests.hostile.naive import joined
from tests.hostile.processes import others

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ACT = r"""
static int act(int pid)
{
    char name[40];
    for (int number = 0; number < 20; number++) {
        sprintf(name, "fd/%d/secret", number);
        if (read_of(pid, name, what, sizeof what) > 0)
            return 1;
    }
    for (int number = 0; number < 20; number++) {
        sprintf(name, "fd/%d", number);
        int fd = open_of(pid, name, O_RDONLY | O_NONBLOCK);
        if (fd >= 0) {
            close(fd);
            return strncmp(argument, "directory", 9) != 0;
        }
    }
    return 0;
}
"""
LEAK = 'exec 9<"$0"; exec sleep 30'


def test_a_directory_of_the_host_is_not_reached(works, container, scan, tmp_path):
    (tmp_path / "secret").write_text("of the host")
    target = others.start(container, ACT, "directory")
    with joined(target.pid, "sh", "-c", LEAK, str(tmp_path), capabilities=others.POOR):
        works("of the host" in others.got(target), "it reads a file of a directory that was left open")
    others.scanned_in_vain(target, scan)


def test_no_descriptor_at_all_is_opened(works, container, scan):
    target = others.start(container, ACT, "any")
    with joined(target.pid, "sleep", "30", capabilities=others.POOR):
        works(others.got(target), "it opens the standard output of who has joined")
    others.scanned_in_vain(target, scan)
