"""A profile takes the memory in many processes, none of which takes too much by itself."""

from __future__ import annotations

import pytest

from tests.hostile.profiles.engine import malicious, naively, plant
from toolkit.runtimes import cgroups

pytestmark = [pytest.mark.root, pytest.mark.bundle]

MANY, EACH, BOUND = 8, 32 << 20, 96 << 20
ATTACK = f"""
import os, time
children = []
for number in range({MANY}):
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ready)
        taken = b"x" * {EACH}
        os.write(told, b"x")
        time.sleep(30)
    os.close(told)
    os.read(ready, 1)
    children.append(pid)
print(sum(os.waitpid(pid, os.WNOHANG)[0] == 0 for pid in children), flush=True)
for pid in children:
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        pass
"""


def test_together_they_get_no_more_than_the_bound(works, container, scan, monkeypatch):
    target = container(prepare=plant)
    works(naively(target.pid, ATTACK) == [str(MANY)], "root's script has all of them hold it at once")
    monkeypatch.setattr(cgroups, "MEMORY_BYTES", BOUND)
    attempt = scan(target.uri, malicious(ATTACK), memory_bytes=1 << 30)
    state = attempt.outcome.facts.get("confinement", {}).get("cgroup", "on")
    if state != "on":
        pytest.skip(f"the memory of a scan has no bound on this machine: {state}")
    assert str(MANY) not in attempt.lines
    assert attempt.outcome.complete or "memory" in str(attempt.error)
    monkeypatch.undo()
    assert scan(target.uri, malicious("")).outcome.complete
