"""Root of the target stops the scan's processes that it can see."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.hostile.conftest import BIN
from toolkit.errors import ScanError
from toolkit.runtimes import local

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# Stops the first process that it sees besides itself, or all.
STOPPER = r"""
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
int main(int count, char **arguments)
{
    for (;;) {
        DIR *proc = opendir("/proc");
        struct dirent *entry;
        while ((entry = readdir(proc))) {
            int pid = atoi(entry->d_name);
            if (pid > 1) {
                usleep(300000);
                kill(arguments[1][0] == 'a' ? -1 : pid, SIGSTOP);
                for (;;) pause();
            }
        }
        closedir(proc);
        usleep(500);
    }
}
"""


@pytest.mark.parametrize("whom", ["first", "all"])
def test_the_deadline_holds_and_nothing_is_left(container, scan, whom):
    target = container(STOPPER, whom)
    attempt = scan(target.uri, f"{BIN}/sleep 60", timeout=3)
    assert "did not finish in time" in str(attempt.error)
    assert attempt.seconds < 8
    time.sleep(0.3)
    assert _stopped() == []


def _stopped() -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if "T (stopped)" in (entry / "status").read_text():
                found.append((entry / "cmdline").read_text())
        except OSError:
            continue
    return [line for line in found if "toolkit.agent" in line or "/sys/firmware" in line]


class _Unkillable(subprocess.Popen[bytes]):
    """A process that waits for an answer of the target's file system, as far as the client can see."""

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


def test_the_target_sees_no_process_of_the_scan_afterwards(container, scan):
    target = container()
    inside = Path(f"/proc/{target.pid}/root/proc")
    for _ in range(5):
        assert scan(target.uri, "exit 0").outcome.complete
        assert [entry.name for entry in inside.glob("[0-9]*")] == ["1"]
