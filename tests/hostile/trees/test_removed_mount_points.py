"""The directory that the bundle is mounted on is removed, with which the kernel takes our mount away as well
(rmdir(2) of what is a mount point in another mount namespace).
"""

from __future__ import annotations

import subprocess

import pytest

from tests.hostile.conftest import BIN, DOCKER, SYS_ADMIN
from tests.hostile.trees.joining import join
from tests.hostile.trees.ways import MAKE, ready

pytestmark = [pytest.mark.root, pytest.mark.bundle]

REMOVER = r"""
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
int main(void)
{
    mkdir("/mnt/own", 0755);
    mount("/mnt/own", "/sys/firmware", "", MS_BIND, 0);
    make("/tmp/log", "ready\n");
    while (access("/tmp/now", F_OK))
        usleep(1000);
    umount2("/sys/firmware", MNT_DETACH);
    int failed = rmdir("/mnt/own");
    make("/tmp/log", failed ? "failed\n" : "removed\n");
    for (;;) pause();
}
"""
BRING = """
kernel.unshare(kernel.CLONE_NEWNS)
kernel.make_all_private()
kernel.move_mount(kernel.new_filesystem("tmpfs", {}, 0), os.open("/sys/firmware", os.O_PATH | os.O_DIRECTORY))
os.close(os.open("/sys/firmware/own", os.O_WRONLY | os.O_CREAT))
os.close(os.open("/tmp/now", os.O_WRONLY | os.O_CREAT))
while b"removed" not in os.read(os.open("/tmp/log", os.O_RDONLY), 99):
    time.sleep(0.01)
print(os.listdir("/sys/firmware"))
"""


def _target(container):
    target = container(MAKE + REMOVER, caps=DOCKER | SYS_ADMIN)
    ready(target)
    return target


def test_it_is_noticed(works, container, scan):
    with join(_target(container).pid, BRING) as naive:
        works(naive.communicate(timeout=10)[0] == "[]\n", "what a script brought is gone")
    target = _target(container)
    later = subprocess.Popen(["sh", "-c", f"sleep 1; touch /proc/{target.pid}/root/tmp/now"])
    script = f"echo honest >$HOME/out; {BIN}/sleep 2; {BIN}/id; echo still; exit 0"
    attempt = scan(target.uri, script, outputs=["out"])
    later.wait()
    assert target.log() == "removed\n"
    assert attempt.lines == ["still"]
    assert "moved the auditor away" in str(attempt.error)
    assert attempt.outputs == {}
