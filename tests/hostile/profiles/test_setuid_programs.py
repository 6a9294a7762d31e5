"""A profile gains rights by a program of the target with a set-user-ID bit or capabilities of its own."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

import pytest

from tests.hostile.conftest import NOBODY
from tests.hostile.naive import tool, visit
from tests.hostile.profiles.engine import answered, malicious, plant

pytestmark = [pytest.mark.root, pytest.mark.bundle]

RIGHTS = r"""
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(void)
{
    char line[200];
    FILE *status = fopen("/proc/self/status", "r");
    printf("%d", geteuid());
    while (fgets(line, sizeof line, status))
        if (!strncmp(line, "CapPrm:", 7))
            printf(" %s", line + 8);
    return 0;
}
"""
SYS_ADMIN, DAC_READ_SEARCH = 1 << 21, 1 << 2
CAPABLE = struct.pack("<5I", 0x02000000, SYS_ADMIN, 0, 0, 0)
"""struct vfs_cap_data of linux/capability.h, revision 2."""

NEED_THEM = ("landlock", "system-calls")
"""What a process may put on itself only where it gains no privileges any more."""


@pytest.fixture
def prepare(compiled):
    def fill(root: Path) -> None:
        plant(root)
        for name in ("another", "capable"):
            shutil.copy2(compiled(RIGHTS), root / name)
        os.chown(root / "another", NOBODY, NOBODY)
        (root / "another").chmod(0o4755)
        os.setxattr(root / "capable", "security.capability", CAPABLE)

    return fill


@pytest.mark.parametrize(
    "left_out", [(), ("nosuid",), ("no-new-privileges",), ("nosuid", "no-new-privileges")]
)
def test_no_right_is_gained(works, container, scan, prepare, left_out):
    target = container(prepare=prepare)
    as_user = [tool("setpriv"), "--reuid=1000", "--regid=1000", "--clear-groups", "--inh-caps=-all"]
    naive = [visit(target.tree, [*as_user, f"/{name}"]).output.split() for name in ("another", "capable")]
    works(
        naive[0][0] == str(NOBODY) and int(naive[1][1], 16) == SYS_ADMIN,
        "a user becomes another one, and may mount",
    )
    without = [*left_out, *(NEED_THEM if "no-new-privileges" in left_out else ())]
    script = f"/another; /capable; {malicious('')}"
    said = answered(scan(target.uri, script, allow_target_exec=True, without=without))
    assert len(said) == 2
    assert {int(line.split()[1], 16) & ~DAC_READ_SEARCH for line in said} == {0}
    if len(left_out) < 2:
        assert {line.split()[0] for line in said} == {"0"}
