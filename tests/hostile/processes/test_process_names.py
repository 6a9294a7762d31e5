"""A process whose name holds lines of /proc/PID/status, behind separators that Python takes for ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import NOBODY

pytestmark = [pytest.mark.root, pytest.mark.bundle]

NAMED = r"""
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int count, char **arguments)
{
    struct sockaddr_in any = {AF_INET, htons(2222)};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    prctl(PR_SET_NAME, arguments[1], 0, 0, 0);
    bind(listener, (void *)&any, sizeof any);
    listen(listener, 5);
    for (;;) pause();
}
"""


@pytest.mark.parametrize("separator", ["\x0b", "\x1c", "\x85", "\u2028"])
def test_the_number_of_the_target_is_not_taken_from_its_name(works, container, scan, separator):
    target = container(NAMED, f"a{separator}NSpid:\t99", user=NOBODY)
    text = Path(f"/proc/{target.pid}/status").read_text()
    works(any(line.startswith("NSpid:\t99") for line in text.splitlines()), "its name is taken for a line")
    attempt = scan(target.uri, "echo $BARESCAN_TARGET_PID")
    assert attempt.lines == ["1"]
    assert attempt.outcome.complete


def test_a_name_can_not_stop_the_scan(container, scan):
    attempt = scan(container(NAMED, "a\x0bUid:\tx", user=NOBODY).uri, "echo done")
    assert attempt.lines == ["done"]
    assert attempt.outcome.facts["target"]["uid"] == NOBODY
