"""What an audit could change in the IPC namespace that it joined: memory and queues of the workload."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import joined

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# A workload that shares memory and a queue with what belongs to it, and says what has become of them.
WORKLOAD = r"""
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <unistd.h>
int main(void)
{
    int log = open("/tmp/log", O_WRONLY | O_CREAT, 0644), queue;
    volatile char *shared = shmat(shmget(4711, 4096, IPC_CREAT | 0600), 0, 0);
    queue = mq_open("/jobs", O_CREAT | O_RDWR, 0600, 0);
    strcpy((char *)shared, "own");
    write(log, queue >= 0 ? "ready\n" : "nothing\n", 6);
    for (;; usleep(20000)) {
        struct mq_attr state;
        mq_getattr(queue, &state);
        if (shared[0] != 'o' || state.mq_curmsgs)
            dprintf(log, "spoiled: %s %d\n", (char *)shared, (int)state.mq_curmsgs);
    }
}
"""
SPOIL = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
place = libc.shmat(libc.shmget(4711, 4096, 0), None, 0)
if place not in (None, ctypes.c_void_p(-1).value):
    ctypes.memmove(place, b'not', 3)
    print('written')
queue = libc.mq_open(b'/jobs', os.O_RDWR)
if queue >= 0 and libc.mq_send(queue, b'job', 3, 0) == 0:
    print('sent')
if libc.mq_unlink(b'/jobs') == 0:
    print('taken away')
print('done')
"""


def test_the_workloads_own_stay_as_they_are(works, container, scan):
    target = container(WORKLOAD, caps=DOCKER)
    target.wait_for("ready")
    with joined(target.pid, "python3", "-c", SPOIL) as naive:
        said = naive.stdout.read() if naive.stdout else ""
    works(said == "written\nsent\ntaken away\ndone\n", f"an audit changes what the workload holds: {said}")
    target.wait_for("spoiled: not")
    target = container(WORKLOAD, caps=DOCKER)
    target.wait_for("ready")
    attempt = scan(target.uri, f'{BIN}/python3 -c "{SPOIL}"')
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == ["done"]
    assert target.log() == "ready\n"
    assert target.written() == {"tmp/log"}
