"""A target with SYS_ADMIN joins the mount namespace of whoever joins it, and so is on the host."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import DOCKER, SYS_ADMIN
from tests.hostile.naive import joined
from tests.hostile.processes import others

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# By the link in /proc, or by a pidfd, which needs no /proc (linux/pidfd.h); in a child, since it goes away.
ACT = r"""
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
static int namespace_of(int pid, char way)
{
    int pidfd = way == 'l' ? -1 : syscall(SYS_pidfd_open, pid, 0);
    if (way == 'i')
        return ioctl(pidfd, 0xff03 /* PIDFD_GET_MNT_NAMESPACE */, 0);
    return way == 'p' ? pidfd : open_of(pid, "ns/mnt", O_RDONLY);
}
static int act(int pid)
{
    int ends[2], status;
    pipe(ends);
    if (fork() == 0) {
        int namespace = namespace_of(pid, argument[0]);
        if (namespace < 0 || setns(namespace, CLONE_NEWNS))
            _exit(1);
        write(ends[1], what, read(open(argument + 1, O_RDONLY), what, sizeof what));
        _exit(0);
    }
    wait(&status);
    close(ends[1]);
    read(ends[0], what, sizeof what - 1);
    close(ends[0]);
    return status == 0;
}
"""


@pytest.mark.parametrize("way", ["link", "ioctl", "pidfd"])
def test_ours_is_not_joined(works, container, scan, tmp_path, way):
    (tmp_path / "secret").write_text("of the host")
    target = others.start(container, ACT, f"{way[0]}{tmp_path}/secret", caps=DOCKER | SYS_ADMIN)
    with joined(target.pid, "sleep", "30", capabilities=others.POOR):
        found = others.got(target, 3)
    if way == "ioctl" and not found:
        pytest.skip("a pidfd gives no namespaces before Linux 6.11")
    works(found == ["of the host"], "it reads a file of the host")
    others.scanned_in_vain(target, scan)
