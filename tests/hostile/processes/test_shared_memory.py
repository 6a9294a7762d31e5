"""What an audit leaves in the IPC namespace that it joined: memory, queues, semaphores, files."""

from __future__ import annotations

import subprocess

import pytest

from tests.hostile.conftest import BIN, DOCKER, Container
from tests.hostile.naive import joined

pytestmark = [pytest.mark.root, pytest.mark.bundle]

LEAVE = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
made = [libc.shmget(0, 8 << 20, 0o1666), libc.msgget(0, 0o1666), libc.semget(0, 1, 0o1666)]
for number in made:
    print('left' if number >= 0 else os.strerror(ctypes.get_errno()))
try:
    open('/dev/shm/left', 'w').write('x')
    print('left')
except OSError as error:
    print(error.strerror)
"""


def test_the_engine_leaves_none(works, container, scan):
    target = container(caps=DOCKER)
    with joined(target.pid, "python3", "-c", LEAVE.partition("try")[0]) as naive:
        naive.wait(10)
    works(_held(target) == 3, "an audit leaves shared memory, a queue and a semaphore in the target")
    target = container(caps=DOCKER)
    attempt = scan(target.uri, f'{BIN}/python3 -c "{LEAVE}"')
    assert attempt.outcome.complete, attempt.error
    assert "left" not in attempt.lines
    assert _held(target) == 0
    assert target.written() == set()


def _held(target: Container) -> int:
    """Count what there is; /proc/sysvipc tells of the namespace of who reads it."""
    command = ["nsenter", "--target", str(target.pid), "--ipc", "cat"]
    tables = [f"/proc/sysvipc/{name}" for name in ("shm", "msg", "sem")]
    done = subprocess.run([*command, *tables], capture_output=True, text=True, check=True)
    return len(done.stdout.splitlines()) - len(tables)
