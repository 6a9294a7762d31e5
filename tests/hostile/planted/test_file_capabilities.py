"""A program of the target with capabilities in its file (setcap): whoever runs it would have them."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from tests.hostile.conftest import DOCKER, capabilities
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle]
REVISION_2_EFFECTIVE = 0x02000001  # linux/capability.h, VFS_CAP_REVISION_2 and VFS_CAP_FLAGS_EFFECTIVE
CHOWN, DAC_READ_SEARCH = capabilities(0), capabilities(2)
NO_SUID = ("nosuid",)
NO_NEW_PRIVILEGES = ("no-new-privileges", "landlock", "system-calls")
"""The other two can't be put on by who may gain privileges and has none."""
MAIN = r"""
#include <stdio.h>
int main(void)
{
    char line[200];
    FILE *status = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, status))
        if (!strncmp(line, "CapEff:", 7))
            puts(line + 8);
    return 0;
}
"""


def _plant(root: Path) -> None:
    place = payload.program(root / "opt/program", MAIN)
    os.setxattr(place, "security.capability", struct.pack("<5I", REVISION_2_EFFECTIVE, CHOWN, 0, 0, 0))


@pytest.mark.parametrize("without", [(), NO_SUID, NO_NEW_PRIVILEGES, NO_SUID + NO_NEW_PRIVILEGES], ids=str)
def test_it_has_no_more_than_who_asks(works, container, scan, without):
    target = container(caps=DOCKER, prepare=_plant)
    user = ["--reuid", "65532", "--clear-groups", "--bounding-set", "-all,+chown"]
    naive = visit(target.tree, [tool("setpriv"), *user, "/opt/program"])
    works(naive.output and int(naive.output, 16) == CHOWN, "it has its capability in the chroot")
    attempt = scan(target.uri, "/opt/program", allow_target_exec=True, without=list(without))
    assert attempt.outcome.complete, attempt.error
    if "nosuid" in without:  # its file is looked at, and asks for more than may be given
        assert "Operation not permitted" in attempt.outcome.stderr
        assert attempt.lines == []
    else:
        assert int(attempt.lines[0], 16) & ~DAC_READ_SEARCH == 0
    assert target.written() == set()
