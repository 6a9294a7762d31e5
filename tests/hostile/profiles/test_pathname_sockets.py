"""A profile gives orders to a daemon through a Unix socket of the target, such as /run/docker.sock."""

from __future__ import annotations

import pytest

from tests.hostile.naive import from_outside
from tests.hostile.profiles.engine import TRIED, answered, malicious, naively
from tests.hostile.profiles.listener import DOCKER_SOCKET, listening, visits

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ATTACK = f"""{TRIED}
import socket
def order(kind):
    with socket.socket(socket.AF_UNIX, kind) as out:
        out.connect("%s")
        out.sendall(b"POST /containers/create HTTP/1.0\\r\\n\\r\\n")
tried("stream", order, socket.SOCK_STREAM)
"""


def test_no_order_is_given(works, container, scan):
    target = listening(container)
    had = naively(target.pid, ATTACK % from_outside(target.pid, DOCKER_SOCKET))
    had_visits = visits(target)
    works(had == ["stream done"] and had_visits == ["pathname"], "root's script gives the daemon an order")
    said = answered(scan(target.uri, malicious(ATTACK % DOCKER_SOCKET)))
    assert said == ["stream EAFNOSUPPORT"]
    assert visits(target) == had_visits
