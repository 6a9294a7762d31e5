"""Root of the target overwrites what the engine has written, through /proc/PID/root."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import DAC_READ_SEARCH
from tests.hostile.naive import joined
from tests.hostile.processes import others

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ACT = r"""
static int act(int pid)
{
    char path[300];
    snprintf(path, sizeof path, "root%s", argument);
    int fd = open_of(pid, path, O_WRONLY | O_TRUNC);
    if (fd < 0)
        return 0;
    write(fd, "forged\n", 7);
    close(fd);
    return 1;
}
"""


def test_what_the_engine_wrote_comes_back(works, container, scan, tmp_path):
    """With DAC_READ_SEARCH it would win, in the moment after a program's start: such a target is refused."""
    out = tmp_path / "out"
    target = others.start(container, ACT, str(out))
    with joined(target.pid, "sh", "-c", 'echo honest > "$0"; sleep 30', str(out), capabilities=others.POOR):
        works(others.got(target) and out.read_text() == "forged\n", "it overwrites the result")
    target = others.start(container, ACT, "/sys/firmware/tmp/out")
    others.scanned_in_vain(target, scan)


def test_who_has_the_engines_capability_is_refused(container, scan):
    target = others.start(container, ACT, "/sys/firmware/tmp/out", caps=DAC_READ_SEARCH)
    attempt = scan(target.uri, others.SCRIPT, outputs=["out"])
    assert "could forge the result" in str(attempt.error)
    assert attempt.outputs == {}
