"""Root of the target traces whatever joins its PID namespace, ptrace(2)."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import DAC_READ_SEARCH, DOCKER, SYS_PTRACE
from tests.hostile.naive import joined
from tests.hostile.processes import others

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ACT = r"""
#include <sys/ptrace.h>
static int act(int pid)
{
    return ptrace(PTRACE_SEIZE, pid, 0, 0) == 0;
}
"""


def test_the_scan_is_not_traced(works, container, scan):
    target = others.start(container, ACT)
    with joined(target.pid, "sleep", "30", capabilities=others.POOR):
        works(others.got(target), "it traces who has joined")
    others.scanned_in_vain(target, scan)


@pytest.mark.parametrize("caps", [SYS_PTRACE, DAC_READ_SEARCH, DOCKER | SYS_PTRACE])
def test_a_target_that_could_trace_the_engine_is_refused(works, container, scan, caps):
    target = others.start(container, ACT, caps=caps)
    with joined(target.pid, "sleep", "30", capabilities=others.POOR):
        works(others.got(target), "it traces who has joined")
    before = others.told(target)
    attempt = scan(target.uri, others.SCRIPT, timeout=8)
    assert "could forge the result" in str(attempt.error)
    assert not attempt.outcome.complete
    assert others.told(target) == before


def test_without_hidden_memory_the_engines_capability_shields_it(works, container, scan):
    """The keeper, which has no capability, is then traced; it holds neither the stream nor a file."""
    target = others.start(container, ACT)
    attempt = scan(target.uri, others.SCRIPT, outputs=["out"], without=["hidden-memory"])
    told = others.told(target)
    works(min(told.met) in told.got, "it traces the keeper, which is not hidden")
    assert set(told.got) == {min(told.met)}
    assert len(told.met) >= 3
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == [others.ANSWER, "0"]
    assert attempt.outputs == {"out": b"honest\n"}


def test_a_trusted_target_is_scanned_all_the_same(container, scan):
    attempt = scan(container(caps=DOCKER | SYS_PTRACE).uri, "echo honest", trust_target=True)
    assert attempt.lines == ["honest"]
