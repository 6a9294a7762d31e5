"""The directory that the bundle is mounted on is moved away, and a forged one put in its place."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.hostile.conftest import BIN, DOCKER, SYS_ADMIN

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# In a mount namespace of its own /sys is no mount point for it, so that it may be renamed; ours follows.
MOVER = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
int main(int count, char **arguments)
{
    if (count > 1 && (chroot(arguments[1]) || chdir("/")))
        return 1;
    FILE *log = fopen("/tmp/log", "w");
    setvbuf(log, 0, _IONBF, 0);
    if (count == 1) {
        if (fork())
            for (;;) pause();
        if (unshare(CLONE_NEWNS) || mount("", "/", "", MS_REC | MS_PRIVATE, "")
            || umount2("/sys", MNT_DETACH))
            fprintf(log, "umount: %s\n", strerror(errno));
    }
    fputs("ready\n", log);
    while (access("/tmp/now", F_OK))
        usleep(1000);
    if (rename(count > 1 ? "/sys/firmware" : "/sys", "/was"))
        fprintf(log, "rename: %s\n", strerror(errno));
    mkdir("/sys", 0755);
    mkdir("/sys/firmware", 0755);
    mkdir("/sys/firmware/tmp", 0755);
    write(open("/sys/firmware/tmp/out", O_WRONLY | O_CREAT, 0644), "forged\n", 7);
    fputs("moved\n", log);
    for (;;) pause();
}
"""
SCRIPT = f"echo honest > $HOME/out; {BIN}/sleep 2"


def test_an_ordinary_directory_is_refused(compiled, scan, tmp_path):
    for name in ("proc", "sys/firmware", "dev", "tmp"):
        (tmp_path / name).mkdir(parents=True)
    subprocess.run(["mount", "-t", "proc", "proc", tmp_path / "proc"], check=True)
    target = subprocess.Popen([compiled(MOVER), tmp_path])
    try:
        time.sleep(0.2)
        attempt = scan(f"pid://{target.pid}", SCRIPT, outputs=["out"])
        assert "/sys is not a sysfs" in str(attempt.error)
        assert attempt.outputs == {}
    finally:
        target.kill()
        target.wait()
        subprocess.run(["umount", tmp_path / "proc"], check=True)


def test_a_move_in_the_middle_of_the_scan_is_noticed(container, scan):
    target = container(MOVER, caps=DOCKER | SYS_ADMIN, prepare=lambda root: (root / "sys").rmdir())
    target.wait_for("ready")
    later = subprocess.Popen(["sh", "-c", f"sleep 1; touch /proc/{target.pid}/root/tmp/now"])
    attempt = scan(target.uri, SCRIPT, outputs=["out"])
    later.wait()
    assert target.log() == "ready\nmoved\n"
    assert "moved the auditor away" in str(attempt.error)
    assert attempt.outputs == {}
