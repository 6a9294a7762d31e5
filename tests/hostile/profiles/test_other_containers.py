"""A profile reads another container's files, through /proc/PID/root of a PID namespace that both share.

So it is in a pod with shareProcessNamespace, and on a node or host whose processes are scanned by pid.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.naive import from_outside
from tests.hostile.profiles.engine import ANSWER, needs_landlock

pytestmark = [pytest.mark.root, pytest.mark.bundle]

SECRET = "the other container's password"
# Both see this host's processes; each has a /mnt of its own.
_CONTAINER = """
mount -t tmpfs tmpfs /mnt && printf '%s\\n' "$1" > /mnt/file
exec setpriv --bounding-set -all sleep 60
"""


@pytest.fixture
def two() -> Iterator[tuple[int, int]]:
    """The processes of the target and of another container beside it, which have no capabilities."""
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _CONTAINER, "sh"]
    started = [subprocess.Popen([*command, content]) for content in (ANSWER, SECRET)]
    while not all(Path(f"/proc/{each.pid}/comm").read_text() == "sleep\n" for each in started):
        time.sleep(0.02)
    yield started[0].pid, started[1].pid
    for each in started:
        each.kill()
        each.wait()


def _attack(other: int) -> str:
    places = " ".join(
        f"/proc/{other}/{place}" for place in ("root/mnt/file", "cwd/mnt/file", "task/*/root/mnt/file")
    )
    return f"{BIN}/cat {places}; {BIN}/cat /mnt/file"


@pytest.mark.parametrize("without", [[], ["scopes"], ["system-calls"]])
def test_only_the_target_is_read(works, two, scan, without):
    needs_landlock()
    target, other = two
    works(from_outside(other, "/mnt/file").read_text() == f"{SECRET}\n", "root reads both containers' files")
    attempt = scan(f"pid://{target}", _attack(other), trust_target=True, without=without)
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == [ANSWER], attempt.outcome.stderr


def test_without_landlock_both_would_be(two, scan):
    target, other = two
    attempt = scan(f"pid://{target}", _attack(other), trust_target=True, without=["landlock"])
    assert SECRET in attempt.lines, attempt.outcome.stderr
