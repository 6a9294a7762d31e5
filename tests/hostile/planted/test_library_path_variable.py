"""A directory of the target that the environment of a command names as LD_LIBRARY_PATH."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle]
SONAMES = ("libselinux.so.1", "libcap.so.2", "libacl.so.1", "libpcre2-8.so.0")
VARIABLE = "LD_LIBRARY_PATH=/opt/lib"


def _plant(root: Path) -> None:
    for soname in SONAMES:
        payload.library(root / "opt/lib" / soname)


@payload.both
def test_it_is_searched_last(works, container, scan, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("sh"), "-c", f"{VARIABLE} ls /opt/lib"])
    works(naive.owned and payload.SHOUT in naive.complaint, "ls in the chroot loads them")
    script = f"{VARIABLE} ls /opt/lib; {BIN}/env -i {VARIABLE} {BIN}/id -u; {VARIABLE} getfacl -c /opt"
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed)
    assert attempt.lines[:6] == [*sorted(SONAMES), "0", "user::rwx"]
    assert attempt.outcome.stderr == "" or "Removing leading '/'" in attempt.outcome.stderr
