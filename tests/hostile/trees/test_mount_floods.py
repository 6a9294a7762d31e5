"""Thousands of mounts, with names so long that nothing takes the table of them."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import BIN, DOCKER, SYS_ADMIN
from tests.hostile.trees.ways import MAKE, output, ready

pytestmark = [pytest.mark.root, pytest.mark.bundle]

FLOOD = r"""
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
int main(int count, char **arguments)
{
    char name[300];
    int deep = atoi(arguments[2]);
    chdir("/mnt");
    memset(name, 'x', 250);
    name[250] = 0;
    for (int i = 0; i < deep; i++)
        if (mkdir(name, 0755) || chdir(name))
            return 1;
    for (int i = 0; i < atoi(arguments[1]); i++) {
        sprintf(name, "%d", i);
        mkdir(name, 0755);
        if (mount("/tmp", name, "", MS_BIND, 0))
            return 2;
    }
    make("/tmp/log", "ready\n");
    for (;;) pause();
}
"""
PASS_ON = 'table=$(cat "/proc/$1/mountinfo") && env table="$table" true'


@pytest.mark.parametrize(("mounts", "deep"), [(3000, 1), (4600, 15)])
def test_the_scan_ends_in_time_with_the_truth(works, container, scan, mounts, deep):
    target = container(MAKE + FLOOD, str(mounts), str(deep), caps=DOCKER | SYS_ADMIN)
    ready(target, 30)
    said = output("sh", "-c", PASS_ON, "naive", str(target.pid))
    works("Argument list too long" in said, "a shell can't pass the table on")
    attempt = scan(target.uri, f"{BIN}/grep -c xxx /proc/mounts", timeout=20)
    if deep == 1:
        assert attempt.outcome.complete, attempt.error
        assert attempt.lines == [str(mounts)]
    else:
        assert "is larger than 16 MiB" in str(attempt.error)
    assert attempt.seconds < 20
