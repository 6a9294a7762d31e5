"""A main process that never takes its dead children: what is left of a scan stays in the target for ever."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, Container
from tests.hostile.naive import joined

pytestmark = [pytest.mark.root, pytest.mark.bundle]

LEAVE = "( ( {}sleep 0.5 ) & ) & exit 0"


def test_no_process_of_the_scan_is_left(works, container, scan):
    target = container()
    with joined(target.pid, "sh", "-c", LEAVE.format("")) as naive:
        naive.wait(5)
        time.sleep(0.7)
        works(len(_seen_by(target)) > 1, "a dead process stays in the target")
    target = container()
    for _ in range(2):
        attempt = scan(target.uri, f"echo done; {LEAVE.format(f'{BIN}/')}")
        assert attempt.lines == ["done"]
        assert attempt.outcome.complete
        assert _seen_by(target) == ["1"]
    assert target.written() == set()


def _seen_by(target: Container) -> list[str]:
    return [entry.name for entry in Path(f"/proc/{target.pid}/root/proc").glob("[0-9]*")]
