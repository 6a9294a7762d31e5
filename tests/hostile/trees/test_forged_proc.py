"""A target that may mount puts files of its own, or another PID namespace's processes, over its /proc."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import BIN, DOCKER, SYS_ADMIN

pytestmark = [pytest.mark.root, pytest.mark.bundle]

FORGER = r"""
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
int main(int count, char **arguments)
{
    FILE *log = fopen("/tmp/log", "w"), *file = fopen("/tmp/forged", "w");
    int failed = 0;
    fputs("Name:\tnice\nUid:\t65532\t65532\t65532\t65532\nNSpid:\t1\nCapEff:\t0\nSeccomp:\t2\n", file);
    fclose(file);
    if (!strcmp(arguments[1], "status"))
        failed = mount("/tmp/forged", "/proc/1/status", "", MS_BIND, 0);
    else if (!strcmp(arguments[1], "other"))
        failed = !fork() ? (pause(), 0) : mount("/proc/2", "/proc/1", "", MS_BIND, 0);
    else if (!strcmp(arguments[1], "sysctl"))
        failed = mount("t", "/proc/sys/kernel", "tmpfs", 0, "");
    else if (!strcmp(arguments[1], "cmdline"))
        failed = mount("/tmp/forged", "/proc/cmdline", "", MS_BIND, 0);
    else if (!strcmp(arguments[1], "tmpfs"))
        failed = mount("t", "/proc", "tmpfs", 0, "") || mkdir("/proc/1", 0755) || mkdir("/proc/1/ns", 0755);
    else if (!strcmp(arguments[1], "namespace")) {
        unshare(CLONE_NEWPID);
        if (!fork()) {
            failed = mount("proc", "/proc", "proc", 0, "");
            fputs(failed ? "failed\n" : "ready\n", log);
            fflush(log);
            for (;;) pause();
        }
        for (;;) pause();
    }
    fputs(failed ? "failed\n" : "ready\n", log);
    fflush(log);
    for (;;) pause();
}
"""


@pytest.mark.parametrize("how", ["status", "other", "sysctl", "cmdline", "tmpfs", "namespace"])
def test_it_is_refused(container, scan, how):
    target = container(FORGER, how, caps=DOCKER | SYS_ADMIN)
    target.wait_for("ready")
    attempt = scan(target.uri, f"{BIN}/cat /proc/$BARESCAN_TARGET_PID/status")
    assert "/proc" in str(attempt.error)
    assert attempt.lines == []


def test_the_runtimes_own_masks_are_kept(container, scan):
    script = f"{BIN}/findmnt -no OPTIONS /proc/sys; {BIN}/ls /proc/sys"
    attempt = scan(container(caps=DOCKER).uri, script)
    assert attempt.lines[0].startswith("ro,")
    assert "kernel" in attempt.lines
