"""A profile changes the target's network over netlink, or listens to the kernel's events for root."""

from __future__ import annotations

import subprocess

import pytest

from tests.hostile.profiles.engine import SAID, answered, malicious, naively, plant

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# rtnetlink(7): RTM_NEWADDR of 192.0.2.1/32 on `lo` (index 1), to be acknowledged. netlink(7): the others.
ATTACK = f"""{SAID}
import socket, struct
def address():
    body = struct.pack("=BBBBI", socket.AF_INET, 32, 0, 0, 1)
    for kind in (1, 2):
        body += struct.pack("=HH4s", 8, kind, socket.inet_aton("192.0.2.1"))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as route:
        route.send(struct.pack("=IHHII", 16 + len(body), 20, 0x605, 1, 0) + body)
        code = -struct.unpack_from("=i", route.recv(4096), 16)[0]
    print("address", errno.errorcode[code] if code else "done", flush=True)
address()
for name, protocol in (("netfilter", 12), ("uevent", 15), ("generic", 16), ("xfrm", 6), ("audit", 9)):
    said(name, (41, 198), socket.AF_NETLINK, 3, protocol)
"""
OTHERS = ("netfilter", "uevent", "generic", "xfrm", "audit")


def _addresses(pid: int) -> str:
    command = ["nsenter", "--target", str(pid), "--net", "ip", "-4", "-o", "address"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_it_only_reads_routes_and_sockets(works, container, scan):
    victim, target = container(), container(prepare=plant)
    had = naively(victim.pid, ATTACK)
    works(
        "192.0.2.1" in _addresses(victim.pid) and "uevent done" in had, "root changes an address and listens"
    )
    said = answered(scan(target.uri, malicious(ATTACK)))
    assert said[0] == "address EPERM"
    assert "192.0.2.1" not in _addresses(target.pid)
    assert said[1:] == [f"{name} EAFNOSUPPORT" for name in OTHERS]


@pytest.mark.parametrize("without", [[], ["system-calls"]])
def test_nothing_is_changed_where_a_wall_is_left_out(container, scan, without):
    target = container(prepare=plant)
    assert answered(scan(target.uri, malicious(ATTACK), without=without))[0] == "address EPERM"
    assert "192.0.2.1" not in _addresses(target.pid)
