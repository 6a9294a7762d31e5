"""The root of the target's process is not that of its mount namespace, or is mounted nowhere any more."""

from __future__ import annotations

import os

import pytest

from tests.hostile.conftest import BIN, DOCKER, SYS_ADMIN
from tests.hostile.naive import tool
from tests.hostile.trees.ways import MAKE, output, ready

pytestmark = [pytest.mark.root, pytest.mark.bundle]

CHANGE = r"""
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
static void tree(const char *place, const char *text)
{
    const char *directories[] = {"etc", "tmp", "proc", "sys"};
    chdir(place);
    mount("t", place, "tmpfs", MS_NOSUID, 0);
    chdir(place);
    for (int i = 0; i < 4; i++)
        mkdir(directories[i], 0755);
    make("etc/passwd", text);
    make("attack", "");
    mount("/attack", "attack", "", MS_BIND, 0);
    mount("/proc", "proc", "", MS_BIND | MS_REC, 0);
    mount("/sys", "sys", "", MS_BIND | MS_REC, 0);
}
int main(int count, char **arguments)
{
    if (!strcmp(arguments[1], "cat"))
        return execl("/attack", "/attack", "say", 0);
    if (!strcmp(arguments[1], "say")) {
        char text[99] = "";
        fgets(text, sizeof text, fopen("/etc/passwd", "r"));
        return puts(text) < 0;
    }
    if (!strcmp(arguments[1], "covered")) {
        make("/etc/passwd", "its own\n");
        tree("/mnt", "the namespace's\n");
        mount("/mnt", "/", "", MS_MOVE, 0);
        make("/tmp/log", "ready\n");
    } else {
        make("/etc/passwd", "the namespace's\n");
        tree("/mnt", "its own\n");
        if (fork()) {
            chroot("/mnt");
            chdir("/");
            make("/tmp/log", strcmp(arguments[1], "detached") ? "ready\n" : "");
        } else if (!strcmp(arguments[1], "detached")) {
            while (access("/mnt/tmp/log", F_OK))
                usleep(1000);
            make("/mnt/tmp/log", "ready\n");
            umount2("/mnt", MNT_DETACH);
        }
    }
    for (;;) pause();
}
"""

FLAGS = f"{BIN}/python3 -c 'import os; print(os.statvfs(\"/\").f_flag & (os.ST_RDONLY | os.ST_NOSUID))'"


@pytest.mark.parametrize("how", ["elsewhere", "covered", "detached"])
def test_the_processes_own_root_is_scanned_or_none(works, container, scan, how):
    target = container(MAKE + CHANGE, how, caps=DOCKER | SYS_ADMIN)
    ready(target)
    said = output(tool("nsenter"), "--target", str(target.pid), "--mount", "/attack", "cat")
    works("the namespace's" in said, "a program that joins the mount namespace reads another file")
    attempt = scan(target.uri, f"{BIN}/cat /etc/passwd; {BIN}/findmnt -no OPTIONS /; {FLAGS}")
    if how == "detached":
        assert "it has been unmounted" in str(attempt.error)
        assert attempt.lines == []
    else:
        assert attempt.outcome.complete, attempt.error
        assert attempt.lines[0] == "its own"
        assert attempt.lines[1].startswith("rw,nosuid" if how == "elsewhere" else "rw,relatime")
        assert int(attempt.lines[-1]) == (os.ST_NOSUID if how == "elsewhere" else 0)
