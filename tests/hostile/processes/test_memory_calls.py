"""Root of the target reaches the memory of whoever joins it by process_vm_readv(2), process_madvise(2)."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import DOCKER, capabilities
from tests.hostile.naive import joined
from tests.hostile.processes import others

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# An address that holds nothing tells as much: who may not look is told so before the address is looked at.
ACT = r"""
#include <sys/uio.h>
static int act(int pid)
{
    static char content[4096];
    struct iovec here = {content, sizeof content}, there = {(void *)0x1000, sizeof content};
    int pidfd = syscall(SYS_pidfd_open, pid, 0);
    errno = 0;
    if (argument[0] == 'r')
        process_vm_readv(pid, &here, 1, &there, 1, 0);
    else if (argument[0] == 'w')
        process_vm_writev(pid, &here, 1, &there, 1, 0);
    else
        syscall(440, pidfd, &there, 1, 21 /* MADV_PAGEOUT */, 0);
    int error = errno;
    close(pidfd);
    return error == 0 || error == EFAULT || error == ENOMEM;
}
"""
SYS_NICE = capabilities(23)  # process_madvise(2) asks for it besides


@pytest.mark.parametrize("call", ["read", "write", "advise"])
def test_none_of_them_is_answered(works, container, scan, call):
    target = others.start(container, ACT, call, caps=DOCKER | SYS_NICE)
    with joined(target.pid, "sleep", "30", capabilities=others.POOR):
        works(others.got(target, 3), f"it may {call} the memory of who has joined")
    others.scanned_in_vain(target, scan)
