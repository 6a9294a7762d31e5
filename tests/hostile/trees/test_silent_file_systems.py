"""FUSE file systems of the target that never answer, put where a filter by name or by order misses them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER, SYS_ADMIN
from toolkit.agent import locate, mounts
from toolkit.agent.failure import AgentError

pytestmark = [
    pytest.mark.root,
    pytest.mark.bundle,
    pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="needs /dev/fuse"),
]

SERVER = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
static FILE *log;
static int silent(const char *place)
{
    char options[100];
    int fd = open("/dev/fuse", O_RDWR);
    mkdir(place, 0755);
    sprintf(options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd);
    if (mount("evil", place, "fuse", 0, options))
        fprintf(log, "mount: %s\n", strerror(errno));
    return fd;
}
static void serve(int fd, int answers)
{
    static char request[1 << 18];
    for (;;) {
        if (read(fd, request, sizeof request) < 0)
            pause();
        struct fuse_in_header *in = (void *)request;
        struct { struct fuse_out_header head; struct fuse_init_out init; } out = {0};
        out.head.unique = in->unique;
        out.head.len = in->opcode == FUSE_INIT ? sizeof out : sizeof out.head;
        out.init.major = 7;
        out.init.minor = 31;
        out.init.max_write = 4096;
        if (in->opcode == FUSE_INIT || answers-- > 0)
            write(fd, &out, out.head.len);
        else
            fprintf(log, "waits for ever: %d\n", in->opcode);
    }
}
int main(int count, char **arguments)
{
    int fd;
    log = fopen("/tmp/log", "w");
    setvbuf(log, 0, _IONBF, 0);
    mknod("/dev/fuse", S_IFCHR | 0666, makedev(10, 229));
    switch (arguments[1][0]) {
    case 'n': /* named so that the line in mountinfo seems to end early */
        fd = silent("/mnt/a\x0b");
        break;
    case 'u': /* under a tmpfs */
        fd = silent("/mnt/a");
        mount("cover", "/mnt/a", "tmpfs", 0, "");
        break;
    case 'w': /* within a tmpfs that another one covers */
        mkdir("/mnt/a", 0755);
        mount("cover", "/mnt/a", "tmpfs", 0, "");
        if (!fork())
            serve(silent("/mnt/a/b"), 0);
        usleep(200000);
        fd = silent("/mnt/a");
        break;
    case 'r': /* as the root; changing to it takes two answers */
        fd = silent("/mnt/a");
        if (fork()) {
            usleep(200000);
            close(fd);
            chroot("/mnt/a");
            chdir("/");
            fputs("ready\n", log);
            for (;;) pause();
        }
        serve(fd, 2);
    }
    fputs("ready\n", log);
    serve(fd, 0);
}
"""
SCRIPT = f"echo start; for d in /mnt/*; do {BIN}/stat $d/x; done; echo end"


@pytest.mark.parametrize("where", ["named", "under", "within"])
def test_it_is_not_in_the_copy(container, scan, where):
    target = container(SERVER, where, caps=DOCKER | SYS_ADMIN)
    target.wait_for("ready")
    before = target.log()
    attempt = scan(target.uri, SCRIPT, timeout=5)
    assert attempt.lines == ["start", "end"]
    assert attempt.outcome.complete
    assert target.log() == before  # it was asked nothing


def test_as_the_root_it_is_refused_and_asked_nothing(container, scan):
    target = container(SERVER, "root", caps=DOCKER | SYS_ADMIN)
    log = target.folder / "upper/tmp/log"
    until = time.monotonic() + 10
    while "ready" not in log.read_text():
        assert time.monotonic() < until
        time.sleep(0.02)
    attempt = scan(target.uri, "exit 0", timeout=5)
    assert "never be answered" in str(attempt.error)
    assert attempt.seconds < 5
    assert "waits" not in log.read_text()


def test_an_overlay_is_as_silent_as_its_layers():
    lines = [
        "20 1 0:20 / /x rw - overlay overlay rw,lowerdir=/var/lib/a:/var/lib/b",
        "21 20 0:21 / /x/f rw - fuse.evil evil rw",
        r"22 20 0:22 / /x/o rw - overlay overlay rw,lowerdir=/home:/f/sub\040dir,upperdir=/u,workdir=/w",
        "23 20 0:23 / /x/p rw - overlay overlay rw,lowerdir=/food,upperdir=/u,workdir=/w",
        "24 20 0:24 / /x/v rw - virtiofs share rw",
    ]
    table = mounts.parse("\n".join(lines).encode(), "/x")
    assert [mount.mount_id for mount in mounts.remote(table, "/x")] == [21, 24, 22]


def test_a_table_that_is_too_long_is_refused(monkeypatch, tmp_path):
    (tmp_path / "mountinfo").write_bytes(b"x" * 101)
    monkeypatch.setattr(locate, "_LARGEST", 100)
    with pytest.raises(AgentError, match="larger"):
        locate.read_at(os.open(tmp_path, os.O_PATH), "mountinfo")
