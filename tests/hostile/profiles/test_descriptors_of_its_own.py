"""A profile looks for descriptors that it was not to get, or closes and replaces those that it has.

CVE-2024-21626 (runc) was one that was left open: a directory of the host.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.hostile.profiles.engine import answered, malicious, plant

pytestmark = [pytest.mark.root, pytest.mark.bundle]

LOOK = """
import os
for name in sorted(os.listdir("/proc/self/fd"), key=int):
    try:
        print(name, os.readlink(f"/proc/self/fd/{name}").partition(":")[0])
    except OSError:
        pass
"""
REPLACE = """
import os
os.write(1, b"before\\n")
for number in range(50):
    try:
        os.dup2(0, number)
    except OSError:
        pass
os.closerange(0, 1024)
"""


def test_there_are_three_and_all_are_pipes(works, container, scan, tmp_path):
    with (tmp_path / "left open").open("w") as file:
        command = [sys.executable, "-I", "-S", "-c", LOOK]
        naive = subprocess.run(command, capture_output=True, text=True, check=True, pass_fds=[file.fileno()])
    works("left open" in naive.stdout, "what a script has open its child has too")
    assert answered(scan(container(prepare=plant).uri, malicious(LOOK))) == ["0 pipe", "1 pipe", "2 pipe"]


def test_closing_them_breaks_nothing(container, scan):
    assert answered(scan(container(prepare=plant).uri, malicious(REPLACE))) == ["before"]
