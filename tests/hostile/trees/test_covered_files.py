"""The target mounts other files over those of its image, which who reads the image's files does not see."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import BIN, DOCKER, SYS_ADMIN
from tests.hostile.trees.ways import MAKE, ready

pytestmark = [pytest.mark.root, pytest.mark.bundle]

COVER = r"""
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
int main(void)
{
    mount("t", "/mnt", "tmpfs", 0, 0);
    make("/mnt/passwd", "backdoor:x:0:0::/:/bin/sh\n");
    make("/mnt/null", "not null\n");
    mkdir("/mnt/lib", 0755);
    make("/mnt/lib/hidden", "hidden\n");
    mount("/mnt/passwd", "/etc/passwd", "", MS_BIND, 0);
    mount("/mnt/null", "/dev/null", "", MS_BIND, 0);
    mount("/mnt/lib", "/lib", "", MS_BIND, 0);
    mount("/mnt/lib", "/sys/firmware", "", MS_BIND, 0);
    umount2("/mnt", MNT_DETACH);
    make("/tmp/log", "ready\n");
    for (;;) pause();
}
"""
LOOK = (
    f"{BIN}/cat /etc/passwd /dev/null /lib/hidden; {BIN}/id -un; {BIN}/test -e /lib/innocent || echo covered;"
    f"{BIN}/grep -c -e ' /etc/passwd ' -e ' /dev/null ' -e ' /lib ' /proc/mounts"
)


def test_what_the_processes_see_is_scanned(works, container, scan):
    def plant(root):
        (root / "etc/passwd").write_text("root:x:0:0::/:/bin/false\n")
        (root / "lib").mkdir()
        (root / "lib/innocent").write_text("innocent\n")

    target = container(MAKE + COVER, caps=DOCKER | SYS_ADMIN, prepare=plant)
    ready(target)
    layers = "".join((target.folder / layer / "etc/passwd").read_text() for layer in ("lower",))
    works(
        layers == "root:x:0:0::/:/bin/false\n", "a script that reads the container's layers sees none of it"
    )
    attempt = scan(target.uri, LOOK)
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == [
        "backdoor:x:0:0::/:/bin/sh",
        "not null",
        "hidden",
        "backdoor",
        "covered",
        "3",
    ]
