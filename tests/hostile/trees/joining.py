"""What a script does that joins a target's mount namespace, run with this host's Python: see `join`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
_JOIN = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from toolkit.agent import kernel
table = open(f"/proc/{sys.argv[2]}/mountinfo", errors="replace").read().splitlines()
kernel.setns(os.open(f"/proc/{sys.argv[2]}/ns/mnt", os.O_RDONLY), kernel.CLONE_NEWNS)
"""


def join(pid: int, code: str, *arguments: str) -> subprocess.Popen[str]:
    """Start Python code in a target's mounts: `kernel` and the lines of its mount `table` are given, and what
    else is imported beforehand; arguments from `sys.argv[3]` on.
    """
    command = [sys.executable, "-c", _JOIN + code, str(REPOSITORY), str(pid), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
