"""A profile tries every family of sockets: kernel code that few use, and ways out that nobody thinks of.

CVE-2017-11176's relatives: AF_ALG, AF_VSOCK (to the hypervisor), AF_TIPC, AF_RDS and others load on demand.
"""

from __future__ import annotations

import pytest

from tests.hostile.profiles.engine import SAID, answered, malicious, naively, plant

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ATTACK = f"""{SAID}
for family in range(46):
    for kind in (1, 2, 3, 5):
        said(f"socket-{{family}}-{{kind}}", (41, 198), family, kind, 0)
pair = (ctypes.c_int * 2)()
said("pair", (53, 199), 2, 1, 0, pair)
"""
NETLINK = 16


def test_netlink_is_the_only_one(works, container, scan):
    target = container(prepare=plant)
    had = {line.split("-")[1] for line in naively(target.pid, ATTACK) if line.endswith("done")}
    works(len(had) >= 3, "root gets sockets of several families")
    said = answered(scan(target.uri, malicious(ATTACK)))
    assert {line.split("-")[1] for line in said if line.endswith("done")} == {str(NETLINK)}
    assert len(said) == 46 * 4 + 1
    assert said[-1] != "pair done"
