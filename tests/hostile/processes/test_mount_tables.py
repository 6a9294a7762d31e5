"""Root of the target reads the mount table of whoever joins it, which nothing hides: /proc/PID/mountinfo."""

from __future__ import annotations

import pytest

from tests.hostile.naive import joined
from tests.hostile.processes import others

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ACT = r"""
static int act(int pid)
{
    static char content[1 << 18];
    read_of(pid, "mountinfo", content, sizeof content);
    char *found = strstr(content, argument);
    if (found)
        sscanf(found, "%190s", what);
    return found != 0;
}
"""


HOSTS = " /sys/fs/cgroup"


def test_it_says_nothing_of_the_hosts_mounts(works, container, scan):
    target = others.start(container, ACT, HOSTS)
    with joined(target.pid, "sleep", "30", capabilities=others.POOR):
        works(others.got(target, 3), "it learns what the host has mounted")
    others.scanned_in_vain(target, scan)
