"""The directory that the bundle would be mounted on is the target's own, which can move and forge it."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.naive import from_outside
from tests.hostile.trees.ways import MAKE, empty

pytestmark = [pytest.mark.root, pytest.mark.bundle]

MOVER = r"""
#include <sys/stat.h>
#include <unistd.h>
int main(int count, char **arguments)
{
    if (chroot(arguments[1]) || chdir("/"))
        return 1;
    make("/tmp/log", "ready\n");
    while (access("/sys/firmware/tmp/out", F_OK))
        usleep(1000);
    rename("/sys/firmware", "/was");
    mkdir("/sys/firmware", 0755);
    mkdir("/sys/firmware/tmp", 0755);
    make("/sys/firmware/tmp/out", "forged\n");
    make("/tmp/log", "moved\n");
    for (;;) pause();
}
"""


@pytest.mark.parametrize("layout", ["directories", "link"])
def test_it_is_refused(works, compiled, scan, tmp_path, layout):
    log = empty(tmp_path) / "tmp/log"
    if layout == "link":
        (tmp_path / "sys").rmdir()
        (tmp_path / "own").mkdir()
        (tmp_path / "sys").symlink_to("own")
    (tmp_path / "sys/firmware/tmp").mkdir(parents=True)
    subprocess.run(["mount", "-t", "proc", "proc", tmp_path / "proc"], check=True)
    target = subprocess.Popen([compiled(MAKE + MOVER), tmp_path])
    try:
        _wait_for(log, "ready")
        attempt = scan(f"pid://{target.pid}", f"echo honest > $HOME/out; {BIN}/sleep 1", outputs=["out"])
        from_outside(target.pid, "/sys/firmware/tmp/out").write_text("honest\n")
        _wait_for(log, "moved")
        report = from_outside(target.pid, "/sys/firmware/tmp/out").read_text()
        works(report == "forged\n", "a script that writes its report there reads a forged one")
    finally:
        target.kill()
        target.wait()
        subprocess.run(["umount", tmp_path / "proc"], check=True)
    said = {"directories": "/sys is not a sysfs", "link": "no /sys/firmware"}
    assert said[layout] in str(attempt.error)
    assert attempt.outputs == {}


def _wait_for(log, word):
    until = time.monotonic() + 10
    while not log.exists() or word not in log.read_text():
        assert time.monotonic() < until, f"the attack did not say {word!r}"
        time.sleep(0.01)
