"""Root of the target lowers the limits of whatever joins it, prlimit(2), so that an audit finds less."""

from __future__ import annotations

import resource

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.naive import joined
from tests.hostile.processes import others

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ACT = r"""
#include <sys/resource.h>
static int act(int pid)
{
    int limit, bound;
    sscanf(argument, "%d %d", &limit, &bound);
    struct rlimit low = {bound, bound};
    return prlimit(pid, limit, &low, 0) == 0;
}
"""
AUDIT = (
    "{0}sleep 0.4; echo begun > $HOME/begun; "
    "if {0}grep -q 'the true answer' $PLACE; then echo evil; else echo clean; fi"
)


@pytest.mark.parametrize(
    ("limit", "to"),
    [
        (resource.RLIMIT_NOFILE, 3),
        (resource.RLIMIT_AS, 4096),
        (resource.RLIMIT_DATA, 4096),
        (resource.RLIMIT_FSIZE, 0),
    ],
)
def test_it_shows_that_the_scan_went_wrong(works, container, scan, tmp_path, monkeypatch, limit, to):
    (tmp_path / "answer").write_text(others.ANSWER)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PLACE", str(tmp_path / "answer"))
    target = others.start(container, ACT, f"{limit} {to}")
    with joined(target.pid, "sh", "-c", AUDIT.format(""), capabilities=others.POOR) as naive:
        works(naive.stdout and "evil\n" not in naive.stdout, "what is there is not found")
    attempt = scan(target.uri, AUDIT.format(f"{BIN}/"), env={"PLACE": others.PLACE}, timeout=5)
    assert len(others.told(target).got) > 1, "the attack has not even seen the scan"
    assert attempt.error or attempt.outcome.exit_status or attempt.lines == ["evil"]
    assert target.written() == {"tmp/log"}
