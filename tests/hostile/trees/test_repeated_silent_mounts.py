"""One FUSE file system that never answers, bound in so many places that leaving them out takes for ever."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import BIN, DOCKER, SYS_ADMIN
from tests.hostile.naive import from_outside, tool
from tests.hostile.trees import fuse
from tests.hostile.trees.ways import MAKE, ready, waits

pytestmark = [pytest.mark.root, pytest.mark.bundle, fuse.NEEDED]

BINDER = r"""
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
int main(int count, char **arguments)
{
    char text[100];
    mknod("/dev/fuse", S_IFCHR | 0666, makedev(10, 229));
    sprintf(text, "fd=%d,rootmode=40000,user_id=0,group_id=0", open("/dev/fuse", O_RDWR));
    mkdir("/mnt/0", 0755);
    mount("evil", "/mnt/0", "fuse", 0, text);
    for (int i = 1; i < atoi(arguments[1]); i++) {
        sprintf(text, "/mnt/%d", i);
        mkdir(text, 0755);
        mount("/mnt/0", text, "", MS_BIND, 0);
    }
    make("/tmp/log", "ready\n");
    for (;;) pause();
}
"""


def test_all_are_left_out_in_time(works, container, scan):
    target = container(MAKE + BINDER, "2500", caps=DOCKER | SYS_ADMIN)
    ready(target)
    works(waits(tool("ls"), from_outside(target.pid, "/mnt/2499")), "ls waits for ever")
    attempt = scan(target.uri, f"{BIN}/ls /mnt/2499; {BIN}/ls /mnt | {BIN}/wc -l", timeout=10)
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == ["2500"]
    assert len(attempt.outcome.facts["target"]["left_out"]) == 2500
