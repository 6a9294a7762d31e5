"""A new process gets the number of the one that was looked up, before it is entered (CVE-2022-33915)."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest

from toolkit.agent import enter, kernel, locate
from toolkit.agent.failure import AgentError

pytestmark = [pytest.mark.root]

# Starts a command with a number of our choice, clone3(2).
CHOOSER = r"""
#define _GNU_SOURCE
#include <linux/sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int count, char **arguments)
{
    pid_t number = atoi(arguments[1]);
    struct clone_args how;
    memset(&how, 0, sizeof how);
    how.exit_signal = 17;
    how.set_tid = (uintptr_t)&number;
    how.set_tid_size = 1;
    for (int tries = 0; tries < 100; tries++, usleep(1000)) {
        long child = syscall(SYS_clone3, &how, sizeof how);
        if (child == 0)
            execvp(arguments[2], arguments + 2);
        if (child > 0)
            return 0;
    }
    return 1;
}
"""


class _Numbered:
    """One number, first of the process that was meant, then of another."""

    def __init__(self, chooser: Path) -> None:
        self._chooser = chooser
        self._first = subprocess.Popen(["sleep", "60"], env={"WHO": "the one that was meant"})
        self._second = -1
        self.pid = self._first.pid

    def pass_on(self) -> None:
        """End the process and give its number to another."""
        self._first.kill()
        self._first.wait()
        command = [str(self._chooser), str(self.pid), "sleep", "60"]
        done = subprocess.run(command, env={"WHO": "another", "PATH": os.environ["PATH"]}, check=False)
        if done.returncode:
            pytest.skip("this kernel gives no number of one's choice (clone3(2) with set_tid)")
        self._second = kernel.pidfd_open(self.pid)
        until = time.monotonic() + 5
        while b"WHO=another" not in self.environment() and time.monotonic() < until:
            time.sleep(0.01)

    def end(self) -> None:
        self._first.kill()
        self._first.wait()
        if self._second >= 0:
            signal.pidfd_send_signal(self._second, signal.SIGKILL)
            os.close(self._second)

    def environment(self) -> bytes:
        """What a script reads that knows the number only."""
        return Path(f"/proc/{self.pid}/environ").read_bytes()


@pytest.fixture
def numbered(compiled):
    one = _Numbered(compiled(CHOOSER))
    yield one
    one.end()


def test_what_was_pinned_never_answers_for_another(works, numbered):
    target = locate.pin(numbered.pid)
    assert b"meant" in locate.read_at(target.directory, "environ")
    numbered.pass_on()
    works(b"another" in numbered.environment(), "the number answers for another process")
    assert not target.alive()
    looks = (
        locate.identity,
        locate.foreign_namespaces,
        locate.root_here,
        partial(enter._copy_of, attributes=0),
    )
    for look in looks:
        with pytest.raises((ProcessLookupError, FileNotFoundError)):
            look(target)


@pytest.mark.parametrize("step", ["pidfd_open", "_stat", "read_at"])
def test_another_one_is_not_pinned_in_its_stead(works, numbered, monkeypatch, step):
    where = kernel if step == "pidfd_open" else locate
    original = getattr(where, step)

    def late(*arguments):
        monkeypatch.setattr(where, step, original)
        numbered.pass_on()
        return original(*arguments)

    monkeypatch.setattr(where, step, late)
    with pytest.raises(AgentError, match="has exited"):
        locate.pin(numbered.pid)
    works(b"another" in numbered.environment(), "the number answers for another process")
