"""A profile changes or reads the machine itself: clock, swap, accounting, reboot, kernel log, modules."""

from __future__ import annotations

import pytest

from tests.hostile.profiles.engine import SAID, answered, malicious, naively, plant

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# Each call is one that root is let do and that then comes to nothing: a file that is not there, a magic
# number that is none, the tick that the clock has anyway, a module that nobody has. EPERM is the answer
# before that.
ATTACK = f"""{SAID}
state = (ctypes.c_long * 26)()
libc.adjtimex(state)
state[0] = 0x4000
said("adjtimex", (159, 171), state)
said("swapon", (167, 224), b"/no-such-file", 0)
said("swapoff", (168, 225), b"/no-such-file")
said("acct", (163, 89), b"/no-such-file")
said("reboot", (169, 142), 0, 0, 0, 0)
said("syslog", (103, 116), 3, ctypes.create_string_buffer(100), 100)
said("delete_module", (176, 106), b"no_such_module", 0)
said("init_module", (175, 105), b"", ctypes.c_ulong(0), b"")
said("kexec_load", (246, 104), ctypes.c_ulong(0), ctypes.c_ulong(99), None, ctypes.c_ulong(1 << 40))
"""
LET = {
    "adjtimex": {"done"},
    "swapon": {"ENOENT"},
    "swapoff": {"ENOENT"},
    "acct": {"ENOENT"},
    "reboot": {"EINVAL"},
    "syslog": {"done"},
}
"""What root is answered; the kernel may be built without modules and kexec."""
CALLS = (*LET, "delete_module", "init_module", "kexec_load")


@pytest.mark.parametrize("without", [[], ["system-calls"]])
def test_none_of_it_is_allowed(works, container, scan, without):
    target = container(prepare=plant)
    had = dict(line.split() for line in naively(target.pid, ATTACK))
    works(all(had[call] in answers for call, answers in LET.items()), "root is let do all of it")
    said = dict(line.split() for line in answered(scan(target.uri, malicious(ATTACK), without=without)))
    absent = {call for call in CALLS if had[call] == "ENOSYS"} if without else set()
    assert {call: said[call] for call in CALLS if call not in absent} == {
        call: "EPERM" for call in CALLS if call not in absent
    }
