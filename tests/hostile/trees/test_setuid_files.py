"""Programs of the target are to give whoever runs them all power: set-user-ID, and file capabilities."""

from __future__ import annotations

import os
import shutil
import struct

import pytest

from tests.hostile.conftest import DAC_READ_SEARCH, DOCKER, SYS_ADMIN
from tests.hostile.naive import tool
from tests.hostile.trees.ways import output

pytestmark = [pytest.mark.root, pytest.mark.bundle]

POWER = r"""
#include <stdio.h>
#include <string.h>
int main(void)
{
    char line[200];
    FILE *status = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, status))
        if (!strncmp(line, "CapEff", 6) || !strncmp(line, "Uid", 3))
            fputs(line, stdout);
    return 0;
}
"""
# VFS_CAP_REVISION_2 with the effective bit; SYS_ADMIN permitted; linux/capability.h
SYS_ADMIN_FILE = struct.pack("<IIIII", 0x02000001, 1 << 21, 0, 0, 0)

UNPRIVILEGED = ("no-new-privileges", "system-calls", "landlock")  # the others can't be had without the first


@pytest.mark.parametrize("without", [[], ["nosuid"], ["nosuid", *UNPRIVILEGED]])
def test_they_give_nothing(works, container, compiled, scan, without):
    program = compiled(POWER)

    def plant(root):
        shutil.copy(program, root / "power")
        (root / "power").chmod(0o6755)
        os.setxattr(root / "power", "security.capability", SYS_ADMIN_FILE)

    target = container(caps=DOCKER, prepare=plant)
    nobody = (tool("setpriv"), "--reuid=65532", "--regid=65532", "--clear-groups")
    said = output(*nobody, target.tree / "power")
    works("\t65532\t0\t0\t0" in said and int(said.split()[-1], 16) & SYS_ADMIN, "it makes root of nobody")
    attempt = scan(target.uri, "/power", allow_target_exec=True, without=without)
    assert attempt.outcome.complete, attempt.error
    held = [int(line.split()[1], 16) for line in attempt.lines if line.startswith("CapEff")]
    refused = "/power: Operation not permitted" in attempt.outcome.stderr  # what it asks for can't be had
    assert held in ([], [0], [DAC_READ_SEARCH])
    assert refused is not bool(held)
    assert target.written() == set()
