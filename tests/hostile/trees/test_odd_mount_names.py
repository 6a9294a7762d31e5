"""Mount points whose names hold newlines, escapes, other entries of the table, or no text at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER, SYS_ADMIN
from tests.hostile.trees.ways import MAKE, ready

pytestmark = [pytest.mark.root, pytest.mark.bundle]

NAMES = (
    "a\n1 1 0:1 a b rw - tmpfs forged rw",
    "b\\040b",
    "c \t#c",
    "d - fuse.evil evil rw",
    "e\x1b[2Je",
    os.fsdecode(b"f\xff\xfef"),
    "g\x0b\x1c\u2028g",
)
MOUNTER = r"""
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
int main(int count, char **arguments)
{
    for (int i = 1; i < count; i++) {
        chdir("/mnt");
        mkdir(arguments[i], 0755);
        mount("t", arguments[i], "tmpfs", MS_NOSUID | MS_NOATIME, 0);
        chdir(arguments[i]);
        make("file", "mounted\n");
    }
    make("/tmp/log", "ready\n");
    for (;;) pause();
}
"""
LOOK = f"{BIN}/cat /mnt/*/file; for d in /mnt/*; do {BIN}/findmnt -no OPTIONS --target $d; done".replace(
    "$d", '"$d"'
)


def test_each_is_entered_and_known_by_its_name(works, container, scan):
    target = container(MAKE + MOUNTER, *NAMES, caps=DOCKER | SYS_ADMIN)
    ready(target)
    table = Path(f"/proc/{target.pid}/mounts").read_bytes()
    points = [line.split()[1] for line in table.decode(errors="replace").splitlines() if " /mnt/" in line]
    root = f"/proc/{target.pid}/root"
    found = [point for point in points if Path(f"{root}{point}/file").exists()]
    works(len(found) < len(NAMES) / 2, "a script does not find most of the points")
    attempt = scan(target.uri, LOOK)
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines[: len(NAMES)] == ["mounted"] * len(NAMES)
    assert [line.startswith("rw,nosuid,noatime") for line in attempt.lines[len(NAMES) :]] == [True] * len(
        NAMES
    )
    assert attempt.outcome.facts["target"]["left_out"] == []
