"""A profile sends data to a service on the target's loopback, or to the cloud's metadata service."""

from __future__ import annotations

import pytest

from tests.hostile.profiles.engine import TRIED, answered, malicious, naively, needs_landlock
from tests.hostile.profiles.listener import METADATA, TCP, listening, visits

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ATTACK = f"""{TRIED}
import socket
def call(address, protocol=0):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol) as out:
        out.settimeout(5)
        out.connect((address, {TCP}))
        out.sendall(b"POST /secrets HTTP/1.0\\r\\n\\r\\n")
tried("loopback", call, "127.0.0.1")
tried("metadata", call, "{METADATA}")
"""
MULTIPATH = 'tried("multipath", call, "127.0.0.1", 262)\n'
"""Another protocol to the kernel, IPPROTO_MPTCP, which Landlock does not know: the filter holds it."""


@pytest.mark.parametrize("without", [[], ["system-calls"], ["landlock"]])
def test_no_service_is_reached(works, container, scan, without):
    target = listening(container)
    had = naively(target.pid, ATTACK)
    had_visits = visits(target)
    works(
        {"loopback done", "metadata done"} <= set(had) and len(had_visits) >= 2, "both services are reached"
    )
    attack = ATTACK if "system-calls" in without else ATTACK + MULTIPATH
    if "system-calls" in without:
        needs_landlock(4)
    said = answered(scan(target.uri, malicious(attack), without=without))
    assert {line.split()[0] for line in said} >= {"loopback", "metadata"}
    assert not any(line.endswith("done") for line in said)
    assert visits(target) == had_visits
