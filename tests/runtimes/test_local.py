"""The local agent's process: what is done when it does not end."""

from __future__ import annotations

import subprocess
import sys

import pytest

from toolkit.errors import ScanError
from toolkit.runtimes import local


class _Unkillable(subprocess.Popen[bytes]):
    """A double of a process that waits for an answer of the target's file system, as the client sees it."""

    def wait(self, timeout: float | None = None) -> int:
        assert timeout is not None, "waited without a limit"
        raise subprocess.TimeoutExpired(self.args, timeout)

    def kill(self) -> None:
        pass


def test_an_agent_that_can_not_be_killed_is_named():
    with subprocess.Popen([sys.executable, "-c", "pass"]) as ended:
        process = _Unkillable.__new__(_Unkillable)
        process.__dict__.update(ended.__dict__)
    with pytest.raises(ScanError, match=f"process {process.pid}"):
        local._reap(process)
