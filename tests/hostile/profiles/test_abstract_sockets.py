"""A profile talks to a daemon of the target over a socket in the abstract namespace, as CVE-2020-15257."""

from __future__ import annotations

import pytest

from tests.hostile.profiles.engine import TRIED, answered, malicious, naively, needs_landlock
from tests.hostile.profiles.listener import ABSTRACT, listening, visits

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ATTACK = f"""{TRIED}
import socket
def order():
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as out:
        out.connect("\\0{ABSTRACT}")
def pose():
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind("\\0posing")
tried("order", order)
tried("pose", pose)
"""


@pytest.mark.parametrize("without", [[], ["system-calls"], ["landlock"]])
def test_the_daemon_hears_nothing(works, container, scan, without):
    target = listening(container)
    had = naively(target.pid, ATTACK)
    had_visits = visits(target)
    works(had == ["order done", "pose done"] and had_visits == ["abstract"], "root's script is heard")
    if "system-calls" in without:
        needs_landlock(6)
    order, pose = answered(scan(target.uri, malicious(ATTACK), without=without))
    assert order != "order done"
    assert without or pose == "pose EAFNOSUPPORT"
    assert visits(target) == had_visits
