"""A target that may mount has a /proc that shows other processes than its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER, SYS_ADMIN
from tests.hostile.naive import from_outside
from tests.hostile.trees.ways import MAKE, ready

pytestmark = [pytest.mark.root, pytest.mark.bundle]

COVER = r"""
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
static void say(int failed)
{
    make("/tmp/log", failed ? "failed\n" : "ready\n");
    for (;;) pause();
}
int main(int count, char **arguments)
{
    if (!strcmp(arguments[1], "other"))
        say(fork() ? mount("/proc/2", "/proc/1", "", MS_BIND, 0) : pause());
    if (!strcmp(arguments[1], "directory")) {
        int failed = mount("t", "/proc", "tmpfs", 0, "") || mkdir("/proc/1", 0755);
        say(failed || mkdir("/proc/1/ns", 0755) || symlink("pid:[1]", "/proc/1/ns/pid"));
    }
    unshare(CLONE_NEWPID);
    if (!fork())
        say(mount("proc", "/proc", "proc", 0, ""));
    for (;;) pause();
}
"""


@pytest.mark.parametrize("how", ["other", "directory", "namespace"])
def test_it_is_refused(works, container, scan, how):
    target = container(MAKE + COVER, how, caps=DOCKER | SYS_ADMIN)
    ready(target)
    seen, own = from_outside(target.pid, "/proc/1"), Path(f"/proc/{target.pid}")
    other = "\nPid:\t2\n" in (seen / "status").read_text() if how == "other" else False
    lies = other or (seen / "ns/pid").readlink() != (own / "ns/pid").readlink()
    works(lies, "a script takes another process for the target")
    attempt = scan(target.uri, f"{BIN}/cat /proc/$BARESCAN_TARGET_PID/status")
    assert "/proc" in str(attempt.error)
    assert attempt.lines == []
