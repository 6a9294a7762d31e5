"""A profile writes into a named pipe of the target, through which a daemon takes its orders, as /run/initctl.

What a mount allows does not matter to a pipe: it can be opened for writing where everything is read-only.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.hostile.naive import from_outside
from tests.hostile.profiles.engine import TRIED, answered, malicious, needs_landlock, plant

pytestmark = [pytest.mark.root, pytest.mark.bundle]

DAEMON = r"""
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(void)
{
    char order[100];
    FILE *log = fopen("/tmp/log", "w");
    int pipe = open("/run/orders", O_RDWR);
    fprintf(log, "ready\n");
    for (fflush(log);; fflush(log)) {
        int size = read(pipe, order, 99);
        fprintf(log, "order: %.*s\n", size, order);
    }
}
"""
ATTACK = f"""{TRIED}
import os
def order(flags):
    os.write(os.open("/run/orders", flags | os.O_NONBLOCK), b"halt")
tried("write", order, os.O_WRONLY)
tried("both", order, os.O_RDWR)
"""


def _prepare(root: Path) -> None:
    plant(root)
    (root / "run").mkdir()
    os.mkfifo(root / "run/orders")


@pytest.mark.parametrize("without", [[], ["system-calls"], ["read-only"]])
def test_no_order_gets_into_it(works, container, scan, without):
    needs_landlock()
    target = container(DAEMON, prepare=_prepare)
    target.wait_for("ready")
    from_outside(target.pid, "/run/orders").write_bytes(b"start")
    target.wait_for("order: start")
    works("order: start" in target.log(), "root's script gives an order")
    assert answered(scan(target.uri, malicious(ATTACK), without=without)) == ["write EACCES", "both EACCES"]
    assert "halt" not in target.log()


def test_without_landlock_it_would(container, scan):
    needs_landlock()
    target = container(DAEMON, prepare=_prepare)
    target.wait_for("ready")
    answered(scan(target.uri, malicious(ATTACK), without=["landlock"]))
    target.wait_for("order: halt")
