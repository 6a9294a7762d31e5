"""A profile locks the target's files against the target: flock(2) and leases ask for no right to write."""

from __future__ import annotations

import pytest

from tests.hostile.naive import from_outside
from tests.hostile.profiles.engine import TRIED, answered, malicious, naively, plant

pytestmark = [pytest.mark.root, pytest.mark.bundle]

WORKLOAD = r"""
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>
int main(void)
{
    FILE *log = fopen("/tmp/log", "w");
    int lock = open("/etc/answer", O_RDONLY);
    fprintf(log, "ready\n");
    for (fflush(log);; usleep(1000)) {
        if (flock(lock, LOCK_EX | LOCK_NB))
            fprintf(log, "kept waiting\n"), fflush(log);
        flock(lock, LOCK_UN);
    }
}
"""
ATTACK = f"""{TRIED}
import fcntl, os, time
file = os.open("%s", os.O_RDONLY)
tried("flock", fcntl.flock, file, fcntl.LOCK_EX)
tried("lease", fcntl.fcntl, file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
time.sleep(0.3)
"""


def test_the_workload_is_not_kept_waiting(works, container, scan):
    victim, target = container(WORKLOAD, prepare=plant), container(WORKLOAD, prepare=plant)
    for each in (victim, target):
        each.wait_for("ready")
    naively(victim.pid, ATTACK % from_outside(victim.pid, "/etc/answer"))
    victim.wait_for("kept waiting")
    works("kept waiting" in victim.log(), "root's script locks the file against its owner")
    said = answered(scan(target.uri, malicious(ATTACK % "/etc/answer")))
    assert "kept waiting" not in target.log()
    assert said == ["flock EPERM", "lease EPERM"]
