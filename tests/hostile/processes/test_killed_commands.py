"""Root of the target spoils single commands of the audit, those that look for what it hides."""

from __future__ import annotations

import signal

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
    int number = atoi(argument);
    if (read_of(pid, "comm", name, sizeof name) <= 0 || strcmp(name, "grep\n"))
        return 0;
    return (number ? kill(pid, number) : prlimit(pid, RLIMIT_NOFILE, &none, 0)) == 0;
}
"""
# It reads what comes slowly first, then the place where the word is.
SEARCH = "{0}sleep 0.4 | {0}grep -q 'the true answer' - $PLACE"
AUDITS = {
    "condition": f"if {SEARCH}; then echo evil; else echo clean; fi",
    "list": f"{SEARCH} && echo evil || echo clean",
    "pipeline": "{0}sleep 0.4 | {0}grep 'the true answer' - $PLACE | "
    "{0}wc -l | {0}sed 's/^0$/clean/; s/^1$/evil/'",
    "awk": f'{{0}}awk \'BEGIN {{{{ print system("{SEARCH}") ? "clean" : "evil" }}}}\''.replace(
        "'the true answer'", "true.answer"
    ),
    "xargs": "{0}sleep 0.4 | {{ echo $PLACE | "
    "{0}xargs {0}grep -q 'the true answer' /proc/self/fd/9 2>&- && echo evil || echo clean; }} 9<&0",
}
LIMIT = 0


@pytest.mark.parametrize(
    ("by", "audit"),
    [
        (signal.SIGKILL, "condition"),
        (signal.SIGKILL, "list"),
        (signal.SIGKILL, "pipeline"),
        (signal.SIGKILL, "awk"),
        (signal.SIGKILL, "xargs"),
        (signal.SIGTERM, "condition"),
        (signal.SIGPIPE, "condition"),
        (signal.SIGPIPE, "pipeline"),
        (signal.SIGPIPE, "xargs"),
        (LIMIT, "condition"),
    ],
)
def test_no_verdict_is_made_of_it(works, container, scan, tmp_path, monkeypatch, by, audit):
    (tmp_path / "answer").write_text(others.ANSWER)
    monkeypatch.setenv("PLACE", str(tmp_path / "answer"))
    target = others.start(container, ACT, str(int(by)))
    with joined(target.pid, "sh", "-c", AUDITS[audit].format(""), capabilities=others.POOR) as naive:
        works(naive.stdout and "clean\n" in naive.stdout, "what was not found is taken for clean")
    attempt = scan(target.uri, AUDITS[audit].format(f"{BIN}/"), env={"PLACE": others.PLACE})
    assert others.got(target)
    assert attempt.error
    assert "treat this target as hostile" in str(attempt.error)
    assert not attempt.outcome.complete


@pytest.mark.parametrize("audit", AUDITS)
def test_the_same_audit_is_right_where_nobody_interferes(container, scan, audit):
    target = others.start(container, "static int act(int pid) { return 0; }")
    attempt = scan(target.uri, AUDITS[audit].format(f"{BIN}/"), env={"PLACE": others.PLACE})
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == ["evil"]


@pytest.mark.parametrize(
    ("script", "lines"),
    [
        ("{0}sleep 9 & kill $!; wait $!; echo $?", ["143"]),
        ("{0}sleep 9 & kill -PIPE $!; wait $!; echo $?", ["141"]),
        ("{0}timeout 0.1 {0}sleep 9; echo $?", ["124"]),
        ("{0}timeout -s KILL 0.1 {0}sleep 9; echo $?", ["137"]),
        ("{0}yes | {0}head -1; echo ${{PIPESTATUS[0]}}", ["y", "141"]),
        ("{0}grep -q none /etc/answer; echo $?; {0}cat /none; echo $?; {0}none; echo $?", ["1", "1", "127"]),
        ("ulimit -n 3; {0}cat /etc/answer || echo $?", ["127"]),
        ("{0}sleep 9 & echo left behind", ["left behind"]),
        ("(trap '' PIPE; {0}yes) | {0}head -1; echo ${{PIPESTATUS[0]}}", ["y", "1"]),
    ],
)
def test_what_the_audit_does_itself_is_no_attack(container, scan, script, lines):
    target = others.start(container, "static int act(int pid) { return 0; }")
    attempt = scan(target.uri, script.format(f"{BIN}/"))
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == lines


def test_a_record_that_is_gone_is_no_record(container, scan):
    attempt = scan(container().uri, f"{BIN}/rm -r $HOME/.notes; echo clean")
    assert "what was noted of the audit's commands is gone" in str(attempt.error)
