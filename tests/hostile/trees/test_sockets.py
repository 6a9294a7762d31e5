"""Sockets hidden by the name of their process, and more descriptors than can be looked at."""

from __future__ import annotations

import os
import time

import pytest

from tests.hostile.conftest import BIN, DOCKER, NOBODY, SYS_ADMIN
from tests.hostile.processes.test_process_names import NAMED
from toolkit.agent import snapshot
from toolkit.agent.failure import AgentError

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# As many descriptors of one socket as it may have, and children that inherit them until there are enough.
MANY = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int count, char **arguments)
{
    FILE *log = fopen("/tmp/log", "w");
    int one = socket(AF_UNIX, SOCK_STREAM, 0), made = 0, wanted = atoi(arguments[1]);
    while (made < wanted && dup(one) >= 0)
        made++;
    for (int all = made; all < wanted; all += made)
        if (!fork())
            for (;;) pause();
    fprintf(log, "ready\n");
    fflush(log);
    for (;;) pause();
}
"""
ODD_PLACE = r"""
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
int main(void)
{
    mkdir("/mnt/\xff here", 0755);
    mount("t", "/mnt/\xff here", "tmpfs", 0, "");
    fputs("mounted\n", fopen("/mnt/\xff here/file", "w"));
    fflush(0);
    fputs("ready\n", fopen("/tmp/log", "w"));
    fflush(0);
    for (;;) pause();
}
"""


@pytest.mark.parametrize("name", ["sshd", os.fsdecode(b"sshd\xff"), os.fsdecode(b"\xed\xa0\x80")])
def test_a_listening_process_is_seen_whatever_its_name(container, scan, name):
    target = container(NAMED, name, user=NOBODY)
    attempt = scan(target.uri, f"{BIN}/ss -Hltnp")
    (line,) = attempt.lines
    assert "0.0.0.0:2222" in line
    assert "pid=1,fd=" in line
    assert "incomplete" not in attempt.outcome.facts["target"]


def test_more_sockets_than_the_limit_are_named_incomplete(container, scan):
    target = container(MANY, "50000")
    target.wait_for("ready")
    attempt = scan(target.uri, "set -- /sys/firmware/job/view/proc/*/fd/*; echo $#")
    assert attempt.outcome.facts["target"]["incomplete"] == ["sockets"]
    assert int(attempt.lines[0]) <= 20_000
    assert attempt.seconds < 10


def test_the_deadline_holds_while_descriptors_are_looked_at():
    with pytest.raises(AgentError, match="did not finish in time"):
        snapshot.Record(time.monotonic() - 1).full()


def test_a_directory_of_any_name_can_be_scanned(scan, tmp_path):
    tree = tmp_path / os.fsdecode(b"a\xffb")
    tree.mkdir()
    (tree / "file").write_text("content\n")
    attempt = scan(f"rootfs://{tree}", f"{BIN}/cat /file")
    assert attempt.lines == ["content"]


def test_a_mount_of_any_name_is_entered(container, scan):
    target = container(ODD_PLACE, caps=DOCKER | SYS_ADMIN)
    target.wait_for("ready")
    attempt = scan(
        target.uri, f"{BIN}/cat /mnt/*here/file; {BIN}/cat /proc/self/mounts | {BIN}/grep -ac here"
    )
    assert attempt.lines == ["mounted", "1"]
