"""Targets with the capabilities to look through processes of others: trace them, reach their files."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import BIN, DAC_READ_SEARCH, DOCKER, SYS_PTRACE

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# Looks through every process once a second and overwrites what the engine has written.
FORGER = r"""
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(void)
{
    FILE *log = fopen("/tmp/log", "w");
    setvbuf(log, 0, _IONBF, 0);
    for (;;) {
        DIR *proc = opendir("/proc");
        struct dirent *entry;
        while ((entry = readdir(proc))) {
            char path[300];
            snprintf(path, sizeof path, "/proc/%s/root/sys/firmware/tmp/out", entry->d_name);
            int fd = atoi(entry->d_name) > 1 ? open(path, O_WRONLY | O_TRUNC) : -1;
            if (fd >= 0) {
                write(fd, "forged\n", 7);
                fprintf(log, "wrote %s\n", path);
                pause();
            }
        }
        closedir(proc);
        fputs("looked\n", log);
        sleep(1);
    }
}
"""
SEIZER = r"""
#include <stdio.h>
#include <sys/ptrace.h>
#include <unistd.h>
int main(void)
{
    FILE *log = fopen("/tmp/log", "w");
    setvbuf(log, 0, _IONBF, 0);
    fputs("ready\n", log);
    while (ptrace(PTRACE_SEIZE, 2, 0, 0))
        ;
    fputs("seized\n", log);
    for (;;) pause();
}
"""
HONEST = f"echo honest > $HOME/out; {BIN}/sleep 2.5"


@pytest.mark.parametrize("caps", [SYS_PTRACE, DAC_READ_SEARCH, DOCKER | SYS_PTRACE])
def test_a_target_that_could_look_through_the_engine_is_refused(container, scan, caps):
    target = container(SEIZER, caps=caps)
    target.wait_for("ready")
    attempt = scan(target.uri, "exit 0", timeout=8)
    assert "could forge the result" in str(attempt.error)
    assert target.log() == "ready\n"


@pytest.mark.parametrize("caps", [DAC_READ_SEARCH, DOCKER])
def test_a_running_engine_is_not_looked_through(container, scan, caps):
    target = container(FORGER, caps=caps)
    target.wait_for("looked")
    attempt = scan(target.uri, HONEST, outputs=["out"], trust_target=True)
    assert attempt.outputs == {"out": b"honest\n"}
    assert "wrote" not in target.log()


def test_a_trusted_target_is_scanned_all_the_same(container, scan):
    attempt = scan(container(caps=DOCKER | SYS_PTRACE).uri, HONEST, outputs=["out"], trust_target=True)
    assert attempt.outputs == {"out": b"honest\n"}
