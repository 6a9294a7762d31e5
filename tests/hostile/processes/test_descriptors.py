"""What the scan's own processes hold open, and whether root of the target can get at it through /proc."""

from __future__ import annotations

import re
import time

import pytest

from tests.hostile.conftest import BIN, DOCKER

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# Tries, as fast as it can, to look through the next process of its PID namespace that is not its own.
LOOK = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(void)
{
    FILE *log = fopen("/tmp/log", "w");
    setvbuf(log, 0, _IONBF, 0);
    fputs("ready\n", log);
    for (int next = 2;;) {
        char path[64];
        sprintf(path, "/proc/%d/exe", next);
        for (int seen = 0;;) {
            if (open(path, O_PATH) >= 0) {
                fprintf(log, "looked through %s\n", path);
                pause();
            }
            if (errno == EACCES)
                seen = 1;
            else if (errno == ENOENT && seen)
                break;
        }
        sleep(1);
        FILE *load = fopen("/proc/loadavg", "r");
        fscanf(load, "%*f %*f %*f %*s %d", &next);
        fclose(load);
        next++;
    }
}
"""
HARMLESS = re.compile(r"socket:|pipe:|anon_inode:\[pidfd\]|/dev/null$|/sys/firmware/(tmp|job)$")


def test_the_engines_side_holds_nothing_of_the_host(container, scan, watch):
    seen = watch(1.0)
    attempt = scan(container().uri, f"{BIN}/sleep 2")
    assert attempt.outcome.complete
    inside = [process for process in seen() if "\t" in process.status["NSpid"]]
    assert len(inside) == 2  # keeper and init
    for process in inside:
        assert not [link for link in process.descriptors.values() if not HARMLESS.match(link)]


def test_the_supervisor_holds_the_stream_and_the_target_only(container, scan, watch):
    seen = watch(1.0)
    scan(container().uri, f"{BIN}/sleep 2")
    (supervisor,) = (process for process in seen() if "\t" not in process.status["NSpid"])
    kinds = [link for fd, link in supervisor.descriptors.items() if fd != 2]  # its standard error
    assert all(re.match(r"socket:|anon_inode:\[pidfd\]", link) for link in kinds)


def test_root_of_the_target_never_looks_through_a_process_of_the_scan(container, scan):
    target = container(LOOK, caps=DOCKER)
    target.wait_for("ready")
    for _ in range(4):
        assert scan(target.uri, f"{BIN}/sleep 0.2").outcome.complete
        time.sleep(1.1)  # the attack waits as long for the last one's end
    assert target.log() == "ready\n"
