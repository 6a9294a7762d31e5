"""A profile kills, stops or starves the target's processes and the supervisor of its own scan."""

from __future__ import annotations

import pytest

from tests.hostile.profiles.engine import SAID, TRIED, answered, malicious, naively, plant

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# kill(2) has no number for who is outside of its PID namespace, but a directory of /proc is as good as a
# pidfd, pidfd_send_signal(2). All is asked of the kernel itself: the bundle's libraries hide the scan's
# processes. Left alone are the profile, its shell and its init: the last three of the numbers there are.
ATTACK = f"""{SAID}
places = {{}}
for number in range(%d, %d):
    fd = libc.syscall(ctypes.c_long(257 if platform.machine() == "x86_64" else 56), -100,
                      f"/proc/{{number}}".encode(), os.O_DIRECTORY, 0)
    if fd >= 0:
        places[number] = fd
for number in sorted(places)[:%s or None]:
    said(f"proc {{number}}", (424, 424), places[number], %d, None, 0)
"""
BY_NUMBER = """
import os
for number in range(2, 3000):
    if number not in (os.getpid(), os.getppid()):
        try:
            os.kill(number, 0)
            print("found", number)
        except ProcessLookupError:
            pass
"""
ALL_THAT_CAN_BE = f"""{TRIED}
import os
tried("init", os.kill, 1, 9)
tried("others", os.kill, -1, 9)
tried("group", os.kill, 0, 9)
"""
STARVING = f"""{TRIED}
import resource
for what in (resource.RLIMIT_NOFILE, resource.RLIMIT_AS, resource.RLIMIT_CPU):
    tried("init", resource.prlimit, 1, what, (0, 0))
"""
KILL, ASK = 9, 0


@pytest.mark.parametrize("without", [[], ["scopes"], ["landlock"], ["system-calls"]])
def test_no_process_gets_a_signal(works, container, scan, without):
    victim, target = container(prepare=plant), container(prepare=plant)
    had = naively(victim.pid, ATTACK % (victim.pid, victim.pid + 1, 0, ASK))
    works(had == [f"proc {victim.pid} done"], "root signals the target's process by its directory")
    said = answered(scan(target.uri, malicious(ATTACK % (1, 400, -3, KILL)), without=without))
    assert len(said) == 2, "the target's process and the keeper"
    assert [line for line in said if line.endswith("done")] == []


def test_nobody_has_a_number(container, scan):
    assert answered(scan(container(prepare=plant).uri, malicious(BY_NUMBER))) == []


def test_killing_all_that_can_be_ends_only_the_profile(container, scan):
    """Its own init does not take a signal from inside, pid_namespaces(7), so it tells how it ended."""
    target = container(prepare=plant)
    attempt = scan(target.uri, malicious(ALL_THAT_CAN_BE))
    assert attempt.outcome.complete, attempt.error
    assert attempt.outcome.exit_status == -KILL
    assert "group done" not in attempt.lines
    assert answered(scan(target.uri, malicious(""))) == []


def test_starving_its_own_init_ends_in_an_error(container, scan):
    """It belongs to the same root, prlimit(2): the scan has no result then, rather than a false one."""
    target = container(prepare=plant)
    attempt = scan(target.uri, malicious(STARVING))
    assert not attempt.outcome.complete
    assert "broke off" in str(attempt.error)
    assert answered(scan(target.uri, malicious(""))) == []
