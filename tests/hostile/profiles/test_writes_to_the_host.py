"""A profile writes into a file of the host that is mounted in the target, writable for the target."""

from __future__ import annotations

import pytest

from tests.hostile.naive import from_outside
from tests.hostile.profiles.engine import TRIED, answered, malicious, needs_landlock, plant

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ATTACK = f"""{TRIED}
import os
tried("append", open, "/etc/hosts", "a")
tried("truncate", os.truncate, "/etc/hosts", 0)
tried("through proc", open, "/proc/1/root/etc/hosts", "a")
tried("reopened", open, f"/proc/self/fd/{{os.open('/etc/hosts', os.O_RDONLY)}}", "a")
"""
HOSTS = "127.0.0.1 localhost\n"


@pytest.mark.parametrize("without", [[], ["read-only"], ["system-calls"]])
def test_the_file_stays_as_it_was(works, container, scan, tmp_path, without):
    needs_landlock()
    hosts, others = tmp_path / "hosts", tmp_path / "others"
    for file in (hosts, others):
        file.write_text(HOSTS)
    victim = container(files={"/etc/hosts": str(others)})
    with from_outside(victim.pid, "/etc/hosts").open("a") as file:
        file.write("127.0.0.1 bank.example\n")
    works("bank" in others.read_text(), "root's script writes to the host through the target")
    target = container(files={"/etc/hosts": str(hosts)}, prepare=plant)
    said = answered(scan(target.uri, malicious(ATTACK), without=without))
    assert len(said) == 4
    assert [line for line in said if line.endswith("done")] == []
    assert hosts.read_text() == HOSTS


def test_without_landlock_the_live_tree_would_be_open(container, scan, tmp_path):
    (tmp_path / "hosts").write_text(HOSTS)
    target = container(files={"/etc/hosts": str(tmp_path / "hosts")}, prepare=plant)
    said = answered(scan(target.uri, malicious(ATTACK), without=["landlock"]))
    assert [line for line in said if line.endswith("done")] == ["through proc done"]
