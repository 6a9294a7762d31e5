"""A profile opens what a process of the target has open, by /proc/PID/fd: its pipes, its deleted files.

The same check stands before its memory, its environment and its root: a root without capabilities is the
engine's equal.
"""

from __future__ import annotations

import pytest

from tests.hostile.profiles.engine import TRIED, answered, malicious, naively, needs_landlock, plant

pytestmark = [pytest.mark.root, pytest.mark.bundle]

HOLDER = r"""
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(void)
{
    int ends[2], secret = open("/tmp/secret", O_RDWR | O_CREAT, 0600);
    char said[100];
    FILE *log = fopen("/tmp/log", "w");
    unlink("/tmp/secret");
    pipe(ends);
    dup2(secret, 20);
    dup2(ends[1], 21);
    write(20, "token", 5);
    fprintf(log, "ready\n");
    for (fflush(log);; fflush(log))
        fprintf(log, "heard: %.*s\n", (int)read(ends[0], said, 99), said);
}
"""
ATTACK = f"""{TRIED}
import os
def change():
    os.write(os.open("/proc/%d/fd/20", os.O_RDWR), b"false")
tried("read", os.open, "/proc/%d/fd/20", os.O_RDONLY)
tried("change", change)
tried("pipe", lambda: os.write(os.open("/proc/%d/fd/21", os.O_WRONLY), b"forged log line"))
tried("memory", os.open, "/proc/%d/mem", os.O_RDONLY)
tried("root", os.listdir, "/proc/%d/root/")
tried("environment", os.open, "/proc/%d/environ", os.O_RDONLY)
"""
WAYS = 6


@pytest.mark.parametrize("without", [[], ["system-calls"], ["read-only", "nosuid"], ["scopes"]])
def test_none_of_it_is_opened(works, container, scan, without):
    needs_landlock()
    target = container(HOLDER, prepare=plant)
    target.wait_for("ready")
    had = naively(target.pid, ATTACK % ((target.pid,) * WAYS))
    target.wait_for("heard")
    works({"read done", "pipe done", "memory done"} <= set(had), "root's script opens them")
    before = target.log()
    said = answered(scan(target.uri, malicious(ATTACK % ((1,) * WAYS)), without=without))
    assert len(said) == WAYS
    assert [line for line in said if line.endswith("done")] == []
    assert target.log() == before
