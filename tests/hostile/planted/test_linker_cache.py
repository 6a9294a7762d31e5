"""A library that the target's /etc/ld.so.cache names for a soname, from any directory it likes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle]
SONAMES = ("libselinux.so.1", "libcap.so.2", "libacl.so.1", "libpcre2-8.so.0")


def _plant(root: Path) -> None:
    for soname in SONAMES:
        payload.library(root / "opt/evil" / soname, "", f"-Wl,-soname,{soname}")
    command = [
        tool("ldconfig"),
        "-X",
        "-r",
        str(root),
        "-C",
        "/etc/ld.so.cache",
        "-f",
        "/dev/null",
        "/opt/evil",
    ]
    subprocess.run(command, check=True, timeout=60)


@payload.both
def test_it_is_not_followed(works, container, scan, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("ls"), "/opt"])
    works(naive.owned and payload.SHOUT in naive.complaint, "ls in the chroot loads the library of the cache")
    script = f"ls /opt/evil; {BIN}/env -i {BIN}/ls /opt/evil; getfacl -c /opt; getcap /opt"
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed)
    assert attempt.lines[:8] == sorted(SONAMES) * 2
    assert attempt.lines[8] == "user::rwx"
