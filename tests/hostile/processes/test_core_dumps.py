"""Root of the target has whoever joins it dump its memory, core(5), and reads the secrets in it."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.naive import joined
from tests.hostile.processes import others

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ACT = r"""
static int act(int pid)
{
    return kill(pid, SIGQUIT) == 0;
}
"""


def test_no_memory_is_dumped(works, container, scan, tmp_path, monkeypatch):
    if "/" in (pattern := Path("/proc/sys/kernel/core_pattern").read_text()) or pattern.startswith("|"):
        pytest.skip(f"dumps of this host go elsewhere: {pattern.strip()}")
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    monkeypatch.chdir(tmp_path)
    target = others.start(container, ACT)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        with joined(target.pid, "sleep", "30", capabilities=others.POOR) as naive:
            naive.wait(5)
        works(list(tmp_path.glob("core*")), "it dumps the memory of who has joined")
        script = f"{BIN}/sleep 1; {BIN}/find / -xdev -name 'core*' -type f; echo none"
        attempt = scan(target.uri, script, timeout=5)
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    assert attempt.error or attempt.lines == ["none"]
    assert target.written() == {"tmp/log"}
    assert [core.name for core in tmp_path.glob("core*")] == ["core"]
