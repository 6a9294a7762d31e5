"""C of FUSE file systems that never answer."""

from __future__ import annotations

from pathlib import Path

import pytest

NEEDED = pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="needs /dev/fuse")
SILENT = r"""
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
static void begin(void)
{
    log = fopen("/tmp/log", "w");
    setvbuf(log, 0, _IONBF, 0);
    mknod("/dev/fuse", S_IFCHR | 0666, makedev(10, 229));
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
"""
"""`silent` mounts one, `serve` reads its requests and answers so many of them; both tell `log`."""
