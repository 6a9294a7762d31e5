"""A target that becomes another program while it is looked at: the name of one, the file of the other."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.hostile.conftest import BIN
from toolkit.agent import locate
from toolkit.agent.failure import AgentError

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# Becomes /harmless and /evil by turns, for ever or until it is /evil for good.
BECOME = r"""
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int count, char **arguments)
{
    int evil = !strcmp(arguments[0], "/evil");
    char *next = evil ? "/harmless" : "/evil", *forever = count > 1 ? arguments[1] : "";
    close(open("/tmp/log", O_WRONLY | O_CREAT, 0644));
    if (!strcmp(forever, "once")) {
        if (evil)
            for (;;) pause();
        usleep(400000);
    }
    execl(next, next, forever, (char *)0);
}
"""
LOOKS = 300
MIXED = {"/harmless /evil", "/evil /harmless"}


def _two_names(root: Path) -> None:
    for name in ("harmless", "evil"):
        shutil.copy2(root / "attack", root / name)


def test_no_mixture_is_recorded(works, container):
    target = locate.pin(container(BECOME, prepare=_two_names).pid)
    looks = (f"/{_read(target, 'comm')} {_exe(target)}" for _ in range(100 * LOOKS))
    works(any(look in MIXED for look in looks), "a name and a file of two programs are read")
    assert not MIXED & {_recorded(target) for _ in range(LOOKS)}


def test_what_it_becomes_during_the_scan_is_the_same_target(container, scan):
    target = container(BECOME, "once", prepare=_two_names)
    attempt = scan(target.uri, f"{BIN}/sleep 1; {BIN}/cat /proc/1/comm")
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == ["evil"]
    assert attempt.outcome.facts["target"]["executable"] in {"/attack", "/harmless"}


def _recorded(target: locate.Target) -> str:
    try:
        about = locate.identity(target)
    except AgentError:  # it has not held still
        return ""
    return f"/{about['Name']} {about['executable']}"


def _read(target: locate.Target, name: str) -> str:
    return locate.read_at(target.directory, name).decode().strip()


def _exe(target: locate.Target) -> str:
    return os.readlink("exe", dir_fd=target.directory)
