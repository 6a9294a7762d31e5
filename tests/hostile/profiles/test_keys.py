"""A profile reads and plants keys of the kernel's keyrings, where root keeps those of disks and networks."""

from __future__ import annotations

import pytest

from tests.hostile.profiles.engine import SAID, answered, malicious, naively, plant

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# In the process's own keyring (-2), which ends with it: nothing is left of the control. keyctl(2), add_key(2)
ATTACK = f"""{SAID}
said("add_key", (248, 217), b"user", b"planted", b"x", ctypes.c_long(1), -2)
said("request_key", (249, 218), b"user", b"planted", None, -2)
said("keyctl", (250, 219), 0, -4, 0)
"""
CALLS = ("add_key", "request_key", "keyctl")


def test_no_key_is_in_reach(works, container, scan):
    target = container(prepare=plant)
    works(naively(target.pid, ATTACK) == [f"{call} done" for call in CALLS], "root plants and reads a key")
    assert answered(scan(target.uri, malicious(ATTACK))) == [f"{call} EPERM" for call in CALLS]
    assert target.written() == set()
