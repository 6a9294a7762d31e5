"""A profile takes all of the memory: in one process, or in files that are nothing but memory."""

from __future__ import annotations

import pytest

from tests.hostile.profiles.engine import TRIED, answered, malicious, naively, plant

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# Never touched, so that the control costs nothing. A memfd is no mapping: RLIMIT_AS would not count it.
ATTACK = f"""{TRIED}
import ctypes, os, mmap
libc = ctypes.CDLL(None, use_errno=True)
def take(flags):
    mmap.mmap(-1, 600 << 20, flags=flags)
def unnamed():
    os.truncate(os.memfd_create("x"), 600 << 20)
def locked():
    if libc.mlockall(7):
        raise OSError(ctypes.get_errno(), "mlockall")
tried("private", take, mmap.MAP_PRIVATE)
tried("shared", take, mmap.MAP_SHARED)
tried("memory file", unnamed)
tried("locked", locked)
"""
ALLOWED = 300 << 20


def test_it_gets_no_more_than_its_part(works, container, scan):
    target = container(prepare=plant)
    had = naively(target.pid, ATTACK)
    works({"private done", "shared done", "memory file done"} <= set(had), "root's script gets it")
    said = answered(scan(target.uri, malicious(ATTACK), memory_bytes=ALLOWED))
    assert said == ["private ENOMEM", "shared ENOMEM", "memory file EPERM", "locked EPERM"]


def test_without_limits_the_filter_holds_what_is_no_mapping(container, scan):
    said = answered(scan(container(prepare=plant).uri, malicious(ATTACK), without=["limits"]))
    assert said[:3] == ["private done", "shared done", "memory file EPERM"]
