"""/dev/null and /dev/console are links to where mounts should not go (CVE-2025-31133, CVE-2025-52565)."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.trees.ways import MAKE, SECRET, empty, privately, ready

pytestmark = [pytest.mark.root, pytest.mark.bundle]

RELINK = r"""
#include <unistd.h>
int main(int count, char **arguments)
{
    unlink("/dev/null");
    symlink(arguments[1], "/dev/null");
    symlink(arguments[1], "/dev/console");
    make("/tmp/log", "ready\n");
    for (;;) pause();
}
"""
# As runc masked a path with /dev/null, and bound a terminal on /dev/console.
MASK = 'mount --bind "$1/dev/null" "$1/etc/masked"; cat "$1/etc/masked"'
ONTO = 'mount --bind "$1/etc/masked" "$1/dev/console"; cat "$2"'
LOOK = (
    f"{BIN}/stat -c '%F %N' /dev/null /dev/console; {BIN}/findmnt -no TARGET /dev/null;"
    f"{BIN}/cat /etc/masked; {BIN}/stat -Lc %a,%t,%T /dev/null;"
    "{ echo x >/dev/null; } 2>/sys/firmware/tmp/said || echo refused"
)


def test_nothing_is_mounted_through_them(works, container, scan, secret, tmp_path):
    tree = empty(tmp_path)
    (tree / "etc/masked").write_text("to be masked\n")
    for name in ("null", "console"):
        (tree / "dev" / name).symlink_to(secret)
    works(SECRET in privately(MASK, tree), "what should be masked shows the host's file")
    works("to be masked" in privately(ONTO, tree, secret), "the mount is made over the host's file")
    core = "/proc/sys/kernel/core_pattern"

    def plant(root):
        (root / "etc/masked").write_text("to be masked\n")

    target = container(MAKE + RELINK, core, caps=DOCKER, prepare=plant)
    ready(target)
    attempt = scan(target.uri, LOOK)
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == [
        f"symbolic link '/dev/null' -> '{core}'",
        f"symbolic link '/dev/console' -> '{core}'",
        "to be masked",
        "644,0,0",
        "refused",
    ]
    assert target.written() == {"tmp/log"}
