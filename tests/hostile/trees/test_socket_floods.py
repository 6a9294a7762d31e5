"""A target holds more sockets than anybody can look at."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.trees.ways import ready, waits

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# As many descriptors of one socket as it may have, and children that inherit them until there are enough.
MANY = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int count, char **arguments)
{
    FILE *log = fopen("/tmp/log", "w"); // afterwards nothing can be opened
    int one = socket(AF_UNIX, SOCK_STREAM, 0), made = 0, wanted = atoi(arguments[1]);
    while (made < wanted && dup(one) >= 0)
        made++;
    for (int all = made; all < wanted; all += made)
        if (!fork())
            for (;;) pause();
    fputs("ready\n", log);
    fflush(log);
    for (;;) pause();
}
"""
EACH = 'for f in "/proc/$1"/root/proc/[0-9]*/fd/*; do readlink "$f"; done'


def test_the_record_is_cut_and_named_incomplete(works, container, scan):
    target = container(MANY, "50000")
    ready(target)
    works(waits("sh", "-c", EACH, "naive", str(target.pid), seconds=2), "a script looks at each for long")
    attempt = scan(target.uri, f"set -- /sys/firmware/job/view/proc/*/fd/*; echo $#; {BIN}/true")
    assert attempt.outcome.complete, attempt.error
    assert attempt.outcome.facts["target"]["incomplete"] == ["sockets"]
    assert int(attempt.lines[0]) <= 20_000
    assert attempt.seconds < 10
