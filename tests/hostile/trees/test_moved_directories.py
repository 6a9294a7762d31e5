"""The directory that the bundle is mounted on is moved away during the scan, a forged one in its place."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER, SYS_ADMIN
from tests.hostile.trees.joining import join
from tests.hostile.trees.ways import MAKE, ready

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# In a mount namespace of its own /sys is no mount point for it, so that it may be renamed; ours follows.
MOVER = r"""
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
int main(void)
{
    if (fork())
        for (;;) pause();
    unshare(CLONE_NEWNS);
    mount("", "/", "", MS_REC | MS_PRIVATE, "");
    umount2("/sys", MNT_DETACH);
    make("/tmp/log", "ready\n");
    while (access("/tmp/now", F_OK))
        usleep(1000);
    int failed = rename("/sys", "/was");
    mkdir("/sys", 0755);
    mkdir("/sys/firmware", 0755);
    mkdir("/sys/firmware/tmp", 0755);
    make("/sys/firmware/tmp/out", "forged\n");
    make("/tmp/log", failed ? "failed\n" : "moved\n");
    for (;;) pause();
}
"""
SCRIPT = f"echo honest > $HOME/out; {BIN}/sleep 2"
# A script that brings its own directory to where nothing is, as the bundle is brought, and reads its report.
BRING = """
place = os.open("/sys/firmware", os.O_PATH | os.O_DIRECTORY)
own = kernel.new_filesystem("tmpfs", {}, 0)
kernel.move_mount(own, place)
os.mkdir("/sys/firmware/tmp")
os.close(os.open("/sys/firmware/tmp/out", os.O_WRONLY | os.O_CREAT))
os.close(os.open("/tmp/now", os.O_WRONLY | os.O_CREAT))
while b"moved" not in os.read(os.open("/tmp/log", os.O_RDONLY), 99):
    time.sleep(0.01)
print(os.read(os.open("/sys/firmware/tmp/out", os.O_RDONLY), 99).decode())
"""


def _target(container):
    target = container(MAKE + MOVER, caps=DOCKER | SYS_ADMIN, prepare=lambda root: (root / "sys").rmdir())
    ready(target)
    return target


def test_it_is_noticed(works, container, scan):
    with join(_target(container).pid, BRING) as naive:
        works(naive.communicate(timeout=10)[0] == "forged\n\n", "a script reads a forged report")
    target = _target(container)
    later = subprocess.Popen(["sh", "-c", f"sleep 1; touch /proc/{target.pid}/root/tmp/now"])
    attempt = scan(target.uri, SCRIPT, outputs=["out"])
    later.wait()
    assert target.log() == "moved\n"
    assert Path(f"/proc/{target.pid}/root/was").is_dir()
    assert "moved the auditor away" in str(attempt.error)
    assert attempt.outputs == {}
