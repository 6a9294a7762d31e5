"""A profile writes into the target: its files, its /tmp, its shared memory, its kernel settings."""

from __future__ import annotations

import pytest

from tests.hostile.naive import from_outside
from tests.hostile.profiles.engine import ANSWER, TRIED, answered, malicious, needs_landlock, plant

pytestmark = [pytest.mark.root, pytest.mark.bundle]

PLACES = ("/etc/planted", "/tmp/planted", "/dev/shm/planted", "/planted")
ATTACK = f"""{TRIED}
import os
for place in {PLACES}:
    tried("write " + place, open, place, "w")
tried("change", open, "/etc/answer", "a")
tried("truncate", os.truncate, "/etc/answer", 0)
tried("remove", os.unlink, "/etc/answer")
tried("rename", os.rename, "/etc/answer", "/etc/other")
tried("link", os.link, "/etc/answer", "/etc/other")
tried("symlink", os.symlink, "/bin/sh", "/etc/other")
tried("mkdir", os.mkdir, "/etc/cron.d")
tried("mkfifo", os.mkfifo, "/tmp/fifo")
tried("hostname", open, "/proc/sys/kernel/hostname", "w")
tried("own", open, "/proc/1/oom_score_adj", "w")
tried("sysfs", open, "/sys/kernel/uevent_helper", "w")
"""
METADATA = f"""{TRIED}
import os
tried("chmod", os.chmod, "/etc/answer", 0o4755)
tried("chown", os.chown, "/etc/answer", 0, 0)
tried("touch", os.utime, "/etc/answer", (0, 0))
tried("attribute", os.setxattr, "/etc/answer", "user.planted", b"x")
"""
WAYS = 15


@pytest.mark.parametrize("without", [[], ["read-only"], ["landlock"]])
def test_nothing_is_written(works, container, scan, without):
    victim, target = container(prepare=plant), container(prepare=plant)
    for place in PLACES:
        from_outside(victim.pid, place).write_text("planted")
    works(victim.written() == {"etc/planted", "tmp/planted", "planted"}, "root writes through /proc/PID/root")
    if "read-only" in without:
        needs_landlock()
    said = answered(scan(target.uri, malicious(ATTACK), without=without))
    assert len(said) == WAYS
    assert [line for line in said if line.endswith("done")] == []
    assert target.written() == set()
    assert from_outside(target.pid, "/etc/answer").read_text() == f"{ANSWER}\n"
    assert not from_outside(target.pid, "/dev/shm/planted").exists()


def test_nothing_is_said_of_a_file_that_is_not_so(works, container, scan):
    victim, target = container(prepare=plant), container(prepare=plant)
    changed = from_outside(victim.pid, "/etc/answer")
    changed.chmod(0o4755)
    works(victim.written() == {"etc/answer"}, "root makes the file run as its owner")
    assert {line.split()[1] for line in answered(scan(target.uri, malicious(METADATA)))} == {"EROFS"}
    assert target.written() == set()
