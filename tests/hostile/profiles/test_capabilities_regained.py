"""A profile gets back what was dropped: root that starts a program has the whole bounding set anew."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.naive import tool
from tests.hostile.profiles.engine import TRIED, answered, malicious, naively, plant

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# capset(2) of nothing is what an auditor in a script takes for "dropped"; prctl(2) 47, 2 is
# PR_CAP_AMBIENT_RAISE, 28 PR_SET_SECUREBITS.
ATTACK = f"""{TRIED}
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def checked(result):
    if result:
        raise OSError(ctypes.get_errno(), "refused")
def capset(low, high):
    sets = (ctypes.c_uint * 6)(low, low, low, high, high, high)
    checked(libc.capset((ctypes.c_uint * 2)(0x20080522, 0), sets))
tried("drop", capset, 0, 0)
tried("take", capset, 0xFFFFFFFF, 0x1FF)
tried("ambient", lambda: checked(libc.prctl(47, 2, 21, 0, 0)))
tried("securebits", lambda: checked(libc.prctl(28, 0, 0, 0, 0)))
tried("setuid", os.setresuid, 1000, 1000, 1000)
tried("setgid", os.setresgid, 1000, 1000, 1000)
tried("groups", os.setgroups, [1000])
os.execv("%s", ["grep", "-E", "CapPrm|CapEff|CapAmb|NoNewPrivs|Seccomp:", "/proc/self/status"])
"""
WAYS = ("take", "ambient", "securebits", "setuid", "setgid", "groups")
NOTHING, READ_ALL = f"{0:016x}", f"{1 << 2:016x}"


@pytest.mark.parametrize(
    "without", [[], ["system-calls", "landlock"], ["system-calls", "landlock", "no-new-privileges"]]
)
def test_none_comes_back(works, container, scan, without):
    target = container(prepare=plant)
    effective = next(line for line in naively(target.pid, ATTACK % tool("grep")) if line.startswith("CapEff"))
    works(int(effective.split()[1], 16) > 1 << 30, "root that has dropped all starts a program and has all")
    said = answered(scan(target.uri, malicious(ATTACK % f"{BIN}/grep"), without=without))
    assert said[: 1 + len(WAYS)] == ["drop done", *(f"{way} EPERM" for way in WAYS)]
    now = dict(line.split(":\t") for line in said[1 + len(WAYS) :])
    assert {now["CapPrm"], now["CapEff"]} <= {NOTHING, READ_ALL}
    assert now["CapAmb"] == NOTHING
    assert (now["NoNewPrivs"], now["Seccomp"]) == (
        "0" if "no-new-privileges" in without else "1",
        "0" if "system-calls" in without else "2",
    )
