"""Python files of the target, planted where the agent reads its own source when it fails after entering."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import NOBODY
from tests.hostile.planted import python_files
from toolkit.agent import confine

pytestmark = [pytest.mark.root, pytest.mark.bundle]
SOURCES = [
    Path(confine.__file__).with_name(f"{name}.py")
    for name in ("__main__", "engine", "enter", "kernel", "confine")
]
# Its user namespace may hold no further process: to join it and to fork is refused.
NO_MORE_PROCESSES = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0644);
    write(fd, text, strlen(text));
    close(fd);
}
int main(void)
{
    struct rlimit one = {1, 1};
    char map[60];
    sprintf(map, "0 %d 1", getuid());
    for (int i = 0; i < 2; i++)
        if (!fork())
            for (;;) pause();
    setrlimit(RLIMIT_NPROC, &one);
    unshare(CLONE_NEWUSER);
    put("/proc/self/setgroups", "deny");
    put("/proc/self/uid_map", map);
    put("/proc/self/gid_map", map);
    put("/tmp/log", "ready\n");
    for (;;) pause();
}
"""


def test_they_are_not_read(works, bundle, container, scan):
    target = container(
        NO_MORE_PROCESSES, user=NOBODY, prepare=lambda root: python_files.plant(root, bundle, SOURCES)
    )
    target.wait_for("ready")
    naive = python_files.fail_in(target.tree, bundle, SOURCES[0], "pass", "traceback.print_exc()")
    works(python_files.MARK in naive, "a Python that reports an error in the target reads them")
    before = target.written()
    attempt = scan(target.uri, "exit 0")
    assert python_files.MARK not in attempt.complaint + attempt.outcome.stderr
    assert "could not be entered: [Errno 11]" in str(attempt.error)
    assert not attempt.outcome.complete
    assert target.written() == before
