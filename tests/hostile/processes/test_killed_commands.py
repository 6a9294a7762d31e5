"""Root of the target kills single commands of the audit, those that look for what it hides."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.naive import joined
from tests.hostile.processes import others

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ACT = r"""
static int act(int pid)
{
    char name[20];
    return read_of(pid, "comm", name, sizeof name) > 0 && !strcmp(name, "grep\n") && kill(pid, SIGKILL) == 0;
}
"""
# It reads until it has found what is there, or is killed.
AUDIT = "if {0}sh -c '{0}sleep 0.3; {0}echo evil' | {0}grep -q evil; then echo evil; else echo clean; fi"


def test_no_verdict_is_made_of_it(works, container, scan):
    target = others.start(container, ACT)
    with joined(target.pid, "sh", "-c", AUDIT.format("")) as naive:
        works(naive.stdout and "clean\n" in naive.stdout, "what was not found is taken for clean")
    attempt = scan(target.uri, AUDIT.format(f"{BIN}/"))
    assert not (attempt.outcome.complete and attempt.lines == ["clean"])
