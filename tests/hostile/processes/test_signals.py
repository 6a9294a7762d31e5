"""Root of the target floods whatever joins its PID namespace with signals: the audit ends early, or waits."""

from __future__ import annotations

import select
import signal
import subprocess
from pathlib import Path

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.naive import joined
from tests.hostile.processes import others

pytestmark = [pytest.mark.root, pytest.mark.bundle]

GRACE_SECONDS = 20  # for a supervisor that has to be killed, on a machine under load
ACT = r"""
static int act(int pid)
{
    int sent = 0;
    for (int times = 0; times < 100; times++)
        sent |= kill(argument[0] == 'a' ? -1 : pid, atoi(argument + 1)) == 0;
    return sent;
}
"""


@pytest.mark.parametrize(
    ("whom", "number"),
    [
        ("each", signal.SIGKILL),
        ("all", signal.SIGKILL),
        ("all", signal.SIGSTOP),
        ("each", signal.SIGTERM),
        ("all", signal.SIGSEGV),
    ],
)
def test_the_scan_ends_as_an_error_in_its_time(works, container, scan, whom, number):
    target = others.start(container, ACT, f"{whom[0]}{number}")
    with joined(target.pid, "sh", "-c", "sleep 0.3; echo evil") as naive:
        works(others.got(target) and _said(naive) == "", "what would have been found is not said")
    attempt = scan(target.uri, f"{BIN}/sleep 30", timeout=2)
    assert attempt.error is not None
    assert not attempt.outcome.complete
    assert attempt.seconds < 2 + GRACE_SECONDS
    assert Path(f"/proc/{target.pid}").exists()
    assert _stopped() == []


def _said(naive: subprocess.Popen[str]) -> str:
    assert naive.stdout
    ready, _, _ = select.select([naive.stdout], [], [], 1.5)
    return naive.stdout.readline() if ready else ""


def _stopped() -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if "T (stopped)" in (entry / "status").read_text():
                found.append((entry / "cmdline").read_text())
        except OSError:
            continue
    return [line for line in found if "toolkit.agent" in line or "/sys/firmware" in line]
