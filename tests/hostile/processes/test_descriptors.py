"""What the scan's own processes hold open while they run: whoever got hold of one would have only that."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.naive import joined

pytestmark = [pytest.mark.root, pytest.mark.bundle]

STREAM_OR_TARGET = re.compile(r"socket:|anon_inode:\[pidfd\]")
HARMLESS = re.compile(r"socket:|pipe:|anon_inode:\[pidfd\]|/dev/null$|/sys/firmware/(tmp|job)$")


def test_nothing_of_the_host_is_held(works, container, scan, watch, tmp_path):
    target = container()
    with joined(target.pid, "sh", "-c", 'exec 9<"$0"; echo; sleep 30', str(tmp_path)) as naive:
        assert naive.stdout
        naive.stdout.readline()
        works(str(tmp_path) in _held_by_children_of(naive), "a script leaves a directory of the host open")
    seen = watch(0.9)
    attempt = scan(target.uri, f"{BIN}/sleep 1.5")
    assert attempt.outcome.complete
    processes = seen()
    inside = [process for process in processes if "\t" in process.status["NSpid"]]
    assert len(inside) == 2  # keeper and init
    for process in inside:
        assert not [link for link in process.descriptors.values() if not HARMLESS.match(link)]
    (supervisor,) = (process for process in processes if process not in inside)
    kinds = [link for fd, link in supervisor.descriptors.items() if fd != 2]  # its standard error
    assert all(STREAM_OR_TARGET.match(link) for link in kinds)


def _held_by_children_of(naive: subprocess.Popen[str]) -> set[str]:
    children = Path(f"/proc/{naive.pid}/task/{naive.pid}/children").read_text().split()
    return {str(fd.readlink()) for child in children for fd in Path(f"/proc/{child}/fd").iterdir()}
