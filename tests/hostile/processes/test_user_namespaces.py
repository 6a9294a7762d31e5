"""Root of a user namespace of the target, with every capability there, against the engine that joins it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.hostile.conftest import BIN, DOCKER, NOBODY

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# Becomes root of a user namespace of its own, then looks through and traces every process that it can.
ROOT_OF_ITS_OWN = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <unistd.h>
static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    write(fd, text, strlen(text));
    close(fd);
}
int main(void)
{
    FILE *log = fopen("/tmp/log", "w");
    char map[60];
    setvbuf(log, 0, _IONBF, 0);
    sprintf(map, "0 %d 1", getuid());
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
        fputs("no namespace\n", log);
    put("/proc/self/setgroups", "deny");
    put("/proc/self/uid_map", map);
    put("/proc/self/gid_map", map);
    fputs("ready\n", log);
    for (;;) {
        DIR *proc = opendir("/proc");
        struct dirent *entry;
        while ((entry = readdir(proc))) {
            char path[300];
            int pid = atoi(entry->d_name), fd;
            if (pid <= 1)
                continue;
            snprintf(path, sizeof path, "/proc/%d/root/sys/firmware/tmp/out", pid);
            fd = open(path, O_WRONLY | O_TRUNC);
            if (fd >= 0) {
                write(fd, "forged\n", 7);
                fputs("wrote\n", log);
            }
            if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0)
                fputs("seized\n", log);
        }
        closedir(proc);
    }
}
"""


@contextmanager
def _joined(pid: int) -> Iterator[None]:
    """A host program in all of a target's namespaces but its mounts, with every capability there."""
    command = ["nsenter", "--target", str(pid), "--user", "--pid", "--net", "--ipc", "sleep", "30"]
    with subprocess.Popen(command) as process:
        yield
        process.kill()


@pytest.mark.parametrize(("user", "caps"), [(NOBODY, 0), (0, DOCKER)])
def test_it_is_scanned_and_can_not_look_through_the_engine(works, container, scan, user, caps):
    target = container(ROOT_OF_ITS_OWN, user=user, caps=caps)
    target.wait_for("ready")
    with _joined(target.pid):
        target.wait_for("seized")
    works("seized" in target.log(), "it traces who has joined its user namespace")
    target = container(ROOT_OF_ITS_OWN, user=user, caps=caps)
    target.wait_for("ready")
    script = f"{BIN}/id -u; echo honest > $HOME/out; for i in 1 2 3 4 5 6 7 8 9; do {BIN}/sleep 0.2; done"
    attempt = scan(target.uri, script, outputs=["out"])
    assert attempt.error is None
    assert attempt.lines == ["0"]
    assert attempt.outputs == {"out": b"honest\n"}
    assert target.log() == "ready\n"
