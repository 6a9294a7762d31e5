"""What is small to send must not be large to hold: checked by a limit on the address space."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.heavy import INPUTS


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str]:
    """What became of all inputs, in a process of its own since each lives with little memory."""
    command = [sys.executable, "-m", "tests.fuzz.limited"]
    ended = subprocess.run(command, capture_output=True, check=False, cwd=Path(__file__).parents[2])
    assert ended.returncode == 0, ended.stderr.decode()[-2000:]
    said: dict[str, str] = json.loads(ended.stdout)
    return said


@pytest.mark.parametrize("what", INPUTS)
def test_nothing_takes_memory_without_bound(what, outcomes):
    assert outcomes[what] in {"refused", "taken", "passed"}, outcomes[what]
