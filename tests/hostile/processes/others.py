"""What the attacks on the scan's processes share: a target that tries one thing on every process it sees.

An attack is the C function `act(pid)`, which says whether it got what it is after. The main process of the
target calls it again and again for each other process of its PID namespace, and notes whom it met and what
it got.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hostile.conftest import BIN, DOCKER, Attempt, Container, Scan

POOR = "-all"
"""What `naive.joined` is to leave to a program: without capabilities anybody of its user reaches it."""
ANSWER = "the true answer"
"""What `PLACE` of the target holds."""
PLACE = "/etc/answer"
SCRIPT = f"{BIN}/cat {PLACE}; echo honest > $HOME/out; {BIN}/sleep 0.2; {BIN}/id -u"
_SECONDS = 10
_PRELUDE = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
static char *argument, what[200];
static char met[1 << 22]; /* PID_MAX_LIMIT */
static int act(int pid);
static int open_of(int pid, const char *name, int flags)
{
    char path[400];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    return open(path, flags);
}
static int read_of(int pid, const char *name, char *content, int size)
{
    int fd = open_of(pid, name, O_RDONLY), length = fd < 0 ? -1 : read(fd, content, size - 1);
    if (fd >= 0)
        close(fd);
    content[length < 0 ? 0 : length] = 0;
    return length;
}
int main(int count, char **arguments)
{
    FILE *log = fopen("/tmp/log", "w");
    setvbuf(log, 0, _IOLBF, 0);
    argument = arguments[1];
    fputs("ready\n", log);
    for (;; usleep(100)) {
        DIR *proc = opendir("/proc");
        struct dirent *entry;
        while ((entry = readdir(proc))) {
            int pid = atoi(entry->d_name);
            if (pid <= 1 || met[pid] == 2)
                continue;
            if (!met[pid])
                fprintf(log, "met %d\n", pid);
            met[pid] = 1;
            what[0] = 0;
            if (act(pid)) {
                met[pid] = 2;
                fprintf(log, "got %d %s\n", pid, what);
            }
        }
        closedir(proc);
    }
}
"""


@dataclass(frozen=True)
class Told:
    """What an attack says of itself, by numbers of processes in its PID namespace."""

    met: frozenset[int]
    got: dict[int, str]


def start(
    container: Callable[..., Container],
    act: str,
    *arguments: str,
    files: dict[str, str] | None = None,
    **more: Any,
) -> Container:
    """Start a target that does `act`, with the capabilities that Docker gives if no others are named."""

    def prepare(root: Path) -> None:
        for path, text in ({PLACE: f"{ANSWER}\n"} | (files or {})).items():
            (root / path.lstrip("/")).write_text(text)

    target = container(_PRELUDE + act, *arguments, prepare=prepare, **({"caps": DOCKER} | more))
    target.wait_for("ready")
    return target


def told(target: Container) -> Told:
    """Read the log of the attack."""
    words = [line.split(" ", 2) for line in target.log().splitlines()]
    return Told(
        frozenset(int(word[1]) for word in words if word[0] == "met"),
        {int(word[1]): word[2] for word in words if word[0] == "got"},
    )


def got(target: Container, seconds: float = _SECONDS) -> list[str]:
    """Wait until the attack has got anything, and return what; empty when it has not in that time."""
    until = time.monotonic() + seconds
    while not (found := list(told(target).got.values())) and time.monotonic() < until:
        time.sleep(0.02)
    return found


def scanned_in_vain(target: Container, scan: Scan, script: str = SCRIPT, **job: Any) -> Attempt:
    """Scan the target; check that the attack met the scan and got nothing, and that the answers are true."""
    before = told(target)
    attempt = scan(target.uri, script, outputs=["out"], **job)
    after = told(target)
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == [ANSWER, "0"]
    assert attempt.outputs == {"out": b"honest\n"}
    assert len(after.met - before.met) >= 3, "the attack has not even seen the scan"  # keeper, init, engine
    assert after.got == before.got
    assert target.written() == {"tmp/log"}
    return attempt
