"""A mount is made unbindable, which the kernel leaves out of copies: who scans a copy sees what it covers."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import BIN, DOCKER, SYS_ADMIN
from tests.hostile.trees.joining import join
from tests.hostile.trees.ways import MAKE, ready

pytestmark = [pytest.mark.root, pytest.mark.bundle]

COVER = r"""
#include <sys/mount.h>
#include <unistd.h>
int main(void)
{
    make("/etc/passwd", "innocent:x:1000:1000::/:/bin/false\n");
    make("/tmp/passwd", "backdoor:x:0:0::/:/bin/sh\n");
    mount("/tmp/passwd", "/etc/passwd", "", MS_BIND, 0);
    mount("", "/etc/passwd", "", MS_UNBINDABLE, 0);
    make("/tmp/log", "ready\n");
    for (;;) pause();
}
"""
COPY = """
tree = kernel.clone_tree("/", recursive=True)
print(os.read(os.open("etc/passwd", os.O_RDONLY, dir_fd=tree), 99).decode())
"""


def test_what_it_covers_is_not_taken_for_the_truth(works, container, scan):
    target = container(MAKE + COVER, caps=DOCKER | SYS_ADMIN)
    ready(target)
    with join(target.pid, COPY) as naive:
        works("innocent" in naive.communicate(timeout=10)[0], "a recursive bind mount shows what is covered")
    attempt = scan(target.uri, f"{BIN}/cat /etc/passwd")
    assert not any("innocent" in line for line in attempt.lines)
    assert "backdoor" in "".join(attempt.lines) or "can't be copied" in str(attempt.error)
