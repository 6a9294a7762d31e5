"""A profile takes a process of the target over: ptrace(2), process_vm_writev(2), pidfd_getfd(2), its mem."""

from __future__ import annotations

import pytest

from tests.hostile.profiles.engine import SAID, answered, malicious, naively, needs_landlock, plant

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# The victim is whatever the first argument of the format names; the fork is a child of the naive one's own.
ATTACK = f"""{SAID}
victim = %s
said("seize", (101, 117), 0x4206, victim, None, None)
class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
here = ctypes.create_string_buffer(8)
mine, theirs = Vector(ctypes.addressof(here), 8), Vector(%d, 8)
one = ctypes.c_ulong(1)
said("read", (310, 270), victim, ctypes.byref(mine), one, ctypes.byref(theirs), one, ctypes.c_ulong(0))
said("write", (311, 271), victim, ctypes.byref(mine), one, ctypes.byref(theirs), one, ctypes.c_ulong(0))
try:
    descriptor = os.open(f"/proc/{{victim}}", os.O_DIRECTORY)
    said("descriptor", (438, 438), descriptor, 0, 0)
    os.open(f"/proc/{{victim}}/mem", os.O_RDWR)
    print("mem done")
except OSError as error:
    print("mem", errno.errorcode[error.errno])
"""
VICTIM = r"""
#include <stdio.h>
#include <unistd.h>
static char data[64] __attribute__((aligned(4096))) = "whole";
int main(void)
{
    fprintf(fopen("/tmp/log", "w"), "%lu\nready\n", (unsigned long)data);
    for (fflush(0);; pause());
}
"""


@pytest.mark.parametrize("without", [[], ["system-calls"]])
def test_no_process_is_taken_over(works, container, scan, without):
    target = container(VICTIM, prepare=plant)
    target.wait_for("ready")
    address = int(target.log().split()[0])
    had = naively(target.pid, ATTACK % (1, address))
    works(
        {"seize done", "read done", "write done"} <= set(had), "root traces and rewrites the target's process"
    )
    needs_landlock()
    said = answered(scan(target.uri, malicious(ATTACK % (1, address)), without=without))
    assert [line for line in said if line.endswith("done")] == []
    assert [line.split()[0] for line in said][:3] == ["seize", "read", "write"]


@pytest.mark.parametrize("without", [[], ["system-calls"], ["landlock"]])
def test_nor_is_one_of_ours(container, scan, without):
    """The keeper is all of ours that the engine sees, and it has no number for it."""
    target = container(VICTIM, prepare=plant)
    target.wait_for("ready")
    ours = "max(int(name) for name in os.listdir('/proc') if name.isdigit())"
    said = answered(scan(target.uri, malicious(ATTACK % (ours, 4096)), without=without))
    assert [line for line in said if line.endswith("done")] == []
