"""Root of the target spoils single commands of the audit, those that look for what it hides."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.naive import joined
from tests.hostile.processes import others

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ACT = r"""
#include <sys/resource.h>
static int act(int pid)
{
    struct rlimit none = {0, 0};
    char name[20];
    if (read_of(pid, "comm", name, sizeof name) <= 0 || strcmp(name, "grep\n"))
        return 0;
    return (argument[0] == 'k' ? kill(pid, SIGKILL) : prlimit(pid, RLIMIT_NOFILE, &none, 0)) == 0;
}
"""
# It reads what comes slowly first, then the place where the word is.
AUDIT = "if {0}sleep 0.4 | {0}grep -q 'the true answer' - $PLACE; then echo evil; else echo clean; fi"


@pytest.mark.parametrize("by", ["kill", "limit"])
def test_no_verdict_is_made_of_it(works, container, scan, tmp_path, monkeypatch, by):
    (tmp_path / "answer").write_text(others.ANSWER)
    monkeypatch.setenv("PLACE", str(tmp_path / "answer"))
    target = others.start(container, ACT, by)
    with joined(target.pid, "sh", "-c", AUDIT.format(""), capabilities=others.POOR) as naive:
        works(naive.stdout and "clean\n" in naive.stdout, "what was not found is taken for clean")
    attempt = scan(target.uri, AUDIT.format(f"{BIN}/"), env={"PLACE": others.PLACE})
    assert attempt.error or attempt.outcome.exit_status or attempt.lines == ["evil"]
