"""A profile floods whoever watches it with output, in lines or without any end of one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.hostile.profiles.engine import malicious, plant

pytestmark = [pytest.mark.root, pytest.mark.bundle]

FLOOD = 40 << 20
ATTACK = """
import os
for number in (1, 2):
    for _ in range(40):
        os.write(number, (b"x" * 63 + b"%s") * (1 << 14))
"""
LIMIT = 1 << 20


@pytest.mark.parametrize("end", [r"\n", "x"])
def test_what_is_passed_on_has_a_bound(works, container, scan, end):
    command = [sys.executable, "-I", "-S", "-c", ATTACK % end]
    naive = subprocess.run(command, capture_output=True, check=True)
    works(len(naive.stdout) == FLOOD, "a script that keeps the output keeps all of it")
    attempt = scan(container(prepare=plant).uri, malicious(ATTACK % end), max_output=LIMIT)
    assert attempt.outcome.complete, attempt.error
    assert attempt.outcome.exit_status == 0
    assert sum(len(line) + 1 for line in attempt.lines) <= LIMIT
    assert len(attempt.outcome.stderr) <= 20_000
