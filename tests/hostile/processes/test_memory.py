"""Root of the target reads and writes the memory of whoever joins it, through /proc/PID/mem."""

from __future__ import annotations

import pytest

from tests.hostile.naive import joined
from tests.hostile.processes import others

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ACT = r"""
static int act(int pid)
{
    char start[40], found[4] = "";
    int fd = open_of(pid, "mem", O_RDWR);
    if (fd < 0)
        return 0;
    read_of(pid, "maps", start, sizeof start);
    unsigned long first = strtoul(start, 0, 16);
    if (pread(fd, found, 4, first) == 4 && pwrite(fd, found, 4, first) == 4)
        snprintf(what, sizeof what, "read and wrote %.3s", found + 1);
    close(fd);
    return 1;
}
"""


def test_it_is_neither_read_nor_written(works, container, scan):
    target = others.start(container, ACT)
    with joined(target.pid, "sleep", "30", capabilities=others.POOR):
        works("read and wrote ELF" in others.got(target), "it reads and writes the code of who has joined")
    others.scanned_in_vain(target, scan)
