"""What keeps an auditor's container in a pod: real processes, which meet in a directory of their own."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from toolkit.agent import wait
from toolkit.agent.failure import AgentError

pytestmark = pytest.mark.root
_SOON_SECONDS = 5
Waiter = subprocess.Popen[bytes]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(wait, "PLACE", str(tmp_path / "waiting"))
    return tmp_path / "waiting"


@pytest.fixture
def start(place: Path) -> Iterator[Callable[[str], Waiter]]:
    """Start a waiting process that ends with the test."""
    with contextlib.ExitStack() as ending:

        def start(seconds: str) -> Waiter:
            program = f"from toolkit.agent import wait; wait.PLACE = {str(place)!r}; wait.main({seconds!r})"
            process = subprocess.Popen([sys.executable, "-c", program])
            ending.callback(process.wait)
            ending.callback(process.kill)
            return process

        yield start


def _ends(process: Waiter, seconds: float = _SOON_SECONDS) -> bool:
    try:
        return process.wait(seconds) == 0
    except subprocess.TimeoutExpired:
        return False


def _end(agent: wait.Waiting) -> None:
    agent._socket.close()


def test_it_ends_when_no_scan_comes(start: Callable[[str], Waiter]) -> None:
    assert _ends(start("0.3"))


def test_it_stays_for_as_long_as_a_scan_is_at_work_and_ends_with_it(start: Callable[[str], Waiter]) -> None:
    process = start("1")
    waiting = wait.Waiting()
    waiting.announce(60, 0)
    assert not _ends(process, 1.5)
    _end(waiting)
    assert _ends(process)


def test_it_ends_at_once_after_a_scan_however_long_it_would_have_waited(
    start: Callable[[str], Waiter],
) -> None:
    process = start("600")
    waiting = wait.Waiting()
    waiting.announce(60, 0)
    _end(waiting)
    assert _ends(process)


def test_it_waits_for_another_scan_where_the_last_one_asked_for_it(start: Callable[[str], Waiter]) -> None:
    process = start("600")
    waiting = wait.Waiting()
    waiting.announce(60, 1.0)
    _end(waiting)
    assert not _ends(process, 0.5)
    assert _ends(process)


def test_an_agent_that_was_turned_away_does_not_end_it(start: Callable[[str], Waiter]) -> None:
    process = start("600")
    _end(wait.Waiting())
    assert not _ends(process, 0.5)


def test_one_scan_is_at_work_at_a_time(start: Callable[[str], Waiter]) -> None:
    process = start("600")
    first, second = wait.Waiting(), wait.Waiting()
    first.announce(60, 5)
    with pytest.raises(AgentError, match="another scan is at work") as raised:
        second.announce(60, 0)
    assert raised.value.transient
    _end(second)
    first.announce(60, 5)  # what it was said at first may be said better
    _end(first)
    assert not _ends(process, 0.5)
    wait.Waiting().announce(60, 0)
    assert _ends(process)


def test_what_was_stopped_is_ended_too(start: Callable[[str], Waiter]) -> None:
    process = start("600")
    wait.Waiting()
    process.send_signal(signal.SIGSTOP)
    program = "import sys; from toolkit.agent import wait; sys.exit(wait.kill_all_else())"
    apart = ["unshare", "--mount", "sh", "-c", 'sleep 60 & kill -STOP $!; "$0" -c "$1"; wait; echo ended']
    done = subprocess.run([*apart, sys.executable, program], capture_output=True, check=False, timeout=30)
    assert done.returncode == -signal.SIGKILL, "the shell is of the same container"
    assert process.poll() is None, "and this one of another"


def test_an_agent_that_outstays_its_deadline_ends_with_the_container(start: Callable[[str], Waiter]) -> None:
    process = start("600")
    waiting = wait.Waiting()
    waiting.announce(-60, 0)
    assert _ends(process)


def test_a_sidecar_waits_for_ever_and_obeys_when_it_is_told_to_end(start: Callable[[str], Waiter]) -> None:
    process = start(wait.FOR_EVER)
    waiting = wait.Waiting()
    waiting.announce(60, 0)
    _end(waiting)
    assert not _ends(process, 0.5)
    process.send_signal(signal.SIGTERM)
    assert _ends(process)


def test_it_takes_over_the_place_of_one_that_was_killed(start: Callable[[str], Waiter]) -> None:
    first = start("600")
    wait.Waiting()
    first.kill()
    first.wait()
    second = start("600")
    assert wait.Waiting().pid == second.pid


def test_who_waits_is_known_and_has_no_power(start: Callable[[str], Waiter]) -> None:
    process = start("600")
    assert wait.Waiting().pid == process.pid
    until = time.monotonic() + _SOON_SECONDS
    while not _is_harmless(process.pid) and time.monotonic() < until:
        time.sleep(0.01)
    assert _is_harmless(process.pid)


def _is_harmless(pid: int) -> bool:
    said = Path(f"/proc/{pid}/status").read_text()
    return all(f"{name}:\t0000000000000000" in said for name in ("CapPrm", "CapEff", "CapBnd"))


def test_where_nobody_waits_an_agent_says_so(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wait, "_STARTING_SECONDS", 0.1)
    assert not place.exists()
    with pytest.raises(AgentError, match="no auditor waits"):
        wait.Waiting()
