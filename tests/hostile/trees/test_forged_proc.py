"""A target that may mount puts files of its own over those of its /proc."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import BIN, DOCKER, SYS_ADMIN
from tests.hostile.naive import from_outside
from tests.hostile.trees.ways import MAKE, ready

pytestmark = [pytest.mark.root, pytest.mark.bundle]

FORGER = r"""
#include <sys/mount.h>
#include <unistd.h>
int main(int count, char **arguments)
{
    make("/tmp/forged", "Name:\tnice\nUid:\t65532\t65532\t65532\t65532\nNSpid:\t1\nCapEff:\t0\n");
    int failed = mount("/tmp/forged", arguments[1], "", MS_BIND, 0);
    make("/tmp/log", failed ? "failed\n" : "ready\n");
    for (;;) pause();
}
"""


@pytest.mark.parametrize("name", ["1/status", "sys/kernel/osrelease", "cmdline", "1/mounts", "1/mountinfo"])
def test_it_is_refused(works, container, scan, name):
    target = container(MAKE + FORGER, f"/proc/{name}", caps=DOCKER | SYS_ADMIN)
    ready(target)
    works("nice" in from_outside(target.pid, f"/proc/{name}").read_text(), "a script believes what is there")
    attempt = scan(target.uri, f"{BIN}/cat /proc/{name}")
    assert f"the target has covered '/proc/{name}'" in str(attempt.error)
    assert attempt.lines == []


def test_the_runtimes_own_masks_are_kept(container, scan):
    script = f"{BIN}/findmnt -no OPTIONS /proc/sys; {BIN}/ls /proc/sys"
    attempt = scan(container(caps=DOCKER).uri, script)
    assert attempt.lines[0].startswith("ro,")
    assert "kernel" in attempt.lines
