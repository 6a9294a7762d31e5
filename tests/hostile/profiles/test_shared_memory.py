"""A profile leaves System V shared memory, semaphores and queues in the target, or writes to its own.

They belong to the IPC namespace, which the scan has joined, and outlive whoever made them: sysvipc(7).
"""

from __future__ import annotations

import subprocess

import pytest

from tests.hostile.profiles.engine import SAID, answered, malicious, naively, plant

pytestmark = [pytest.mark.root, pytest.mark.bundle]

KEY = 0x0BA2E
OWNER = f"""
#include <stdio.h>
#include <string.h>
#include <sys/shm.h>
#include <unistd.h>
int main(void)
{{
    char *memory = shmat(shmget({KEY}, 4096, IPC_CREAT | 0600), 0, 0);
    FILE *log = fopen("/tmp/log", "w");
    strcpy(memory, "whole");
    fprintf(log, "ready\\n");
    for (fflush(log); !strcmp(memory, "whole"); usleep(10000));
    fprintf(log, "spoilt: %s\\n", memory);
    for (fflush(log);; pause());
}}
"""
ATTACK = f"""{SAID}
libc.shmat.restype = ctypes.c_void_p
number = said("shmget", (29, 194), {KEY}, ctypes.c_ulong(4096), 0)
memory = libc.shmat(number, None, 0)
if memory not in (None, ctypes.c_void_p(-1).value):
    ctypes.memmove(memory, b"spoilt", 7)
    print("written", flush=True)
said("shm", (29, 194), 1, ctypes.c_ulong(4096), 0o1600)
said("sem", (64, 190), 1, 1, 0o1600)
said("msg", (68, 186), 1, 0o1600)
said("mq", (240, 180), b"planted", os.O_CREAT | os.O_RDWR, 0o600, None)
"""
CALLS = ("shmget", "shm", "sem", "msg", "mq")


def _left(pid: int) -> int:
    """Count the objects of the target's IPC namespace."""
    done = subprocess.run(
        ["nsenter", "--target", str(pid), "--ipc", "ipcs"], capture_output=True, text=True, check=True
    )
    return sum(line.startswith("0x") for line in done.stdout.splitlines())


def test_nothing_is_left_or_changed(works, container, scan):
    victim, target = container(OWNER, prepare=plant), container(OWNER, prepare=plant)
    for each in (victim, target):
        each.wait_for("ready")
    had = naively(victim.pid, ATTACK)
    victim.wait_for("spoilt")
    works("written" in had and _left(victim.pid) == 4, "root's script writes to it and leaves three more")
    said = answered(scan(target.uri, malicious(ATTACK)))
    assert _left(target.pid) == 1
    assert "spoilt" not in target.log()
    assert said == [f"{call} EPERM" for call in CALLS]
