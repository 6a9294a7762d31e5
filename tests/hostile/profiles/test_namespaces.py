"""A profile makes itself a user namespace, in which it has every capability anew, or joins another one."""

from __future__ import annotations

import pytest

from tests.hostile.profiles.engine import SAID, answered, malicious, naively, plant

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# Each way in a child of its own, since the first that works changes what the next one says. clone(2): flags
# with SIGCHLD. clone3(2): struct clone_args, flags first.
ATTACK = f"""{SAID}
import signal
NEW = {{"user": 0x10000000, "mount": 0x20000, "pid": 0x20000000, "net": 0x40000000}}
def alone(act, *arguments):
    pid = os.fork()
    if pid == 0:
        act(*arguments)
        os._exit(0)
    os.waitpid(pid, 0)
def made(name, numbers, *arguments):
    if said(name, numbers, *arguments) == 0:
        os._exit(0)  # the new child, in its namespaces
for kind, flag in NEW.items():
    alone(said, "unshare " + kind, (272, 97), flag)
alone(made, "clone", (56, 220), ctypes.c_ulong(NEW["user"] | signal.SIGCHLD), None, None, None, None)
wish = (ctypes.c_uint64 * 8)(NEW["user"], 0, 0, 0, signal.SIGCHLD)
alone(made, "clone3", (435, 435), wish, ctypes.c_ulong(64))
alone(said, "setns", (308, 268), os.open("/proc/self/ns/mnt", os.O_RDONLY), 0)
"""
REFUSED = [
    *(f"unshare {kind} EPERM" for kind in ("user", "mount", "pid", "net")),
    "clone EPERM",
    "clone3 ENOSYS",
    "setns EPERM",
]


def test_it_stays_in_those_it_was_given(works, container, scan):
    target = container(prepare=plant)
    had = naively(target.pid, ATTACK)
    made = {"unshare user done", "clone done", "clone3 done", "setns done"}
    works(made <= set(had), "root makes and joins them")
    assert answered(scan(target.uri, malicious(ATTACK))) == REFUSED
