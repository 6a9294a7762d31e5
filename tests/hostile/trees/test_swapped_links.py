"""A file is a link to the host's by the time it is opened, though it was none when it was looked at
(CVE-2018-15664).
"""

from __future__ import annotations

import time

import pytest

from tests.hostile.conftest import BIN, Container
from tests.hostile.naive import from_outside
from tests.hostile.trees.ways import MAKE, SECRET, ready

pytestmark = [pytest.mark.root, pytest.mark.bundle]

SWAP = r"""
#include <fcntl.h>
#include <unistd.h>
int main(int count, char **arguments)
{
    make("/etc/os-release", "ID=mine\n");
    symlink(arguments[1], "/etc/other");
    make("/tmp/log", "ready\n");
    for (;;) {
        renameat2(AT_FDCWD, "/etc/os-release", AT_FDCWD, "/etc/other", RENAME_EXCHANGE);
        usleep(20);
    }
}
"""


def _careful_script(target: Container) -> str:
    """Look whether it is a link before it is opened, as often as it takes or five seconds."""
    path, until = from_outside(target.pid, "/etc/os-release"), time.monotonic() + 5
    while time.monotonic() < until:
        if not path.is_symlink() and SECRET in (text := path.read_text()):
            return text
    return ""


def test_it_never_leads_out(works, container, scan, secret):
    target = container(MAKE + SWAP, str(secret))
    ready(target)
    works(_careful_script(target), "a script that looks first reads the host's file all the same")
    for _ in range(10):
        attempt = scan(target.uri, f"for i in $(seq 30); do {BIN}/cat /etc/os-release; done")
        assert attempt.outcome.complete, attempt.error
        assert set(attempt.lines) <= {"ID=mine"}
        assert attempt.outcome.facts["os_release"] in ({}, {"ID": "mine"})
        assert SECRET not in f"{attempt}"
    assert target.written() == {"tmp/log", "etc/os-release", "etc/other"}
