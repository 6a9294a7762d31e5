"""A profile listens to the target's traffic, and forges packets, with raw sockets."""

from __future__ import annotations

import pytest

from tests.hostile.profiles.engine import TRIED, answered, malicious, naively, plant

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# Sends itself a packet over `lo` and takes it from there again; an ICMP echo request to itself.
ATTACK = f"""{TRIED}
import socket
def sniff():
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as both:
        both.bind(("lo", 3))
        both.settimeout(5)
        both.send(bytes(12) + b"\\x88\\xb5" + b"forged" + bytes(40))
        while b"forged" not in both.recv(2000):
            pass
def ping():
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as out:
        out.sendto(b"\\x08\\0\\xf7\\xff" + bytes(4), ("127.0.0.1", 0))
tried("packet", sniff)
tried("raw", ping)
tried("udplite", socket.socket, socket.AF_INET, socket.SOCK_RAW, 136)
"""
WAYS = ("packet", "raw", "udplite")


@pytest.mark.parametrize("without", [[], ["system-calls"]])
def test_no_packet_is_seen_or_made(works, container, scan, without):
    target = container(prepare=plant)
    works({"packet done", "raw done"} <= set(naively(target.pid, ATTACK)), "root sniffs and forges")
    said = dict(line.split() for line in answered(scan(target.uri, malicious(ATTACK), without=without)))
    assert set(said) == set(WAYS)
    assert set(said.values()) <= ({"EPERM"} if without else {"EAFNOSUPPORT"})
