"""FUSE file systems of the target that never answer, put where a filter by name or by order misses them."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.hostile.conftest import BIN, DOCKER, SYS_ADMIN
from tests.hostile.trees import fuse
from tests.hostile.trees.joining import join
from tests.hostile.trees.ways import ready

pytestmark = [pytest.mark.root, pytest.mark.bundle, fuse.NEEDED]

MAIN = r"""
int main(int count, char **arguments)
{
    int fd;
    begin();
    switch (arguments[1][0]) {
    case 'n': /* named so that the line in mountinfo seems to end early */
        fd = silent("/mnt/a\x0b");
        break;
    case 'u': /* under a tmpfs */
        fd = silent("/mnt/a");
        mount("cover", "/mnt/a", "tmpfs", 0, "");
        break;
    case 'w': /* within a tmpfs that another one covers */
        mkdir("/mnt/a", 0755);
        mount("cover", "/mnt/a", "tmpfs", 0, "");
        if (!fork())
            serve(silent("/mnt/a/b"), 0);
        usleep(200000);
        fd = silent("/mnt/a");
        break;
    }
    fputs("ready\n", log);
    serve(fd, 0);
}
"""
SCRIPT = f"echo start; for d in /mnt/*; do {BIN}/stat $d/x; done; echo end"
# A script that leaves out what the table says is FUSE, and then looks at the rest.
FILTER = """
kernel.unshare(kernel.CLONE_NEWNS)
kernel.make_all_private()
for line in table:
    if " - fuse" in line:
        try:
            kernel.unmount(line.split()[4].replace("\\\\013", "\\x0b"), kernel.MNT_DETACH)
        except (IndexError, OSError):
            pass
for name in os.listdir("/mnt"):
    try:
        os.stat(f"/mnt/{name}/x")
    except FileNotFoundError:
        pass
"""


@pytest.mark.parametrize("where", ["named", "under", "within"])
def test_it_is_not_in_the_copy(works, container, scan, where):
    target = container(fuse.SILENT + MAIN, where, caps=DOCKER | SYS_ADMIN)
    ready(target)
    before = target.log()
    attempt = scan(target.uri, SCRIPT, timeout=5)
    assert target.log() == before  # it was asked nothing
    naive = join(target.pid, FILTER)
    time.sleep(1)
    works(
        naive.poll() is None and "waits for ever" in target.log(), "a script that filters by the table waits"
    )
    os.kill(target.pid, signal.SIGKILL)  # before that nothing ends who waits
    naive.communicate(timeout=10)
    assert attempt.lines == ["start", "end"]
    assert attempt.outcome.complete, attempt.error
