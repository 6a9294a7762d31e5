"""A target near its bound of memory: who enters its control group and takes some has the workload killed."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, Container
from tests.hostile.processes import groups
from toolkit.runtimes import cgroups

pytestmark = [pytest.mark.root, pytest.mark.bundle]

BOUND = 64 << 20
HOLD = r"""
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
char held[40 << 20];
int main(void)
{
    sleep(1);
    memset(held, 1, sizeof held);
    close(open("/tmp/log", O_WRONLY | O_CREAT, 0644));
    for (;;) pause();
}
"""
TAKE = "import time; held = bytearray(b'x') * (30 << 20); print(len(held)); time.sleep(1)"


@pytest.fixture
def full(container):
    """A target that holds most of what its group may."""
    with groups.bounded("memory", BOUND) as group:
        target = container(HOLD)
        groups.join(group, target.pid)
        while not Path(f"/proc/{target.pid}/root/tmp/log").exists():
            assert Path(f"/proc/{target.pid}").exists()
        yield target, group
        subprocess.run(["kill", "-KILL", str(target.pid)], check=False, capture_output=True)


def test_the_scan_is_not_charged_to_the_workload(works, full, scan):
    target, group = full
    attempt = scan(target.uri, f'{BIN}/python3 -c "{TAKE}"')
    assert attempt.lines == [str(30 << 20)]
    assert attempt.outcome.complete
    assert _lives(target)
    naive = subprocess.run([*groups.entering(group), "python3", "-c", TAKE], capture_output=True, check=False)
    works(not _lives(target), f"the workload is killed for {naive.args}")


def test_where_it_is_charged_the_scan_goes_first(works, full, scan, monkeypatch):
    """As in a pod, whose bound holds for an ephemeral container too."""
    target, group = full
    shared = cgroups.Group([group])
    monkeypatch.setattr(cgroups, "group", lambda: contextlib.nullcontext(shared))
    attempt = scan(target.uri, f'{BIN}/python3 -c "{TAKE}" && echo all is well', timeout=10)
    assert "all is well" not in attempt.lines
    assert attempt.error or attempt.outcome.exit_status
    assert _lives(target)
    works(_was_full(group), "the group has no memory left")


def _lives(target: Container) -> bool:
    try:
        return "State:\tS" in Path(f"/proc/{target.pid}/status").read_text()
    except FileNotFoundError:
        return False


def _was_full(group: Path) -> bool:
    older, newer = group / "memory.oom_control", group / "memory.events"
    said = (older if older.exists() else newer).read_text().split()
    return said[said.index("oom_kill") + 1] != "0"
