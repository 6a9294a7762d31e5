"""A library in a directory for newer processors (glibc-hwcaps), which the loader prefers to the plain one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle]
LEVELS = ("x86-64-v2", "x86-64-v3", "x86-64-v4")


def _plant(root: Path) -> None:
    (root / "opt").mkdir()
    payload.write(root, "/etc/ld.so.cache", "")  # useless, so that directories are searched
    for level in LEVELS:
        payload.library(root / payload.LIBRARIES / "glibc-hwcaps" / level / "libselinux.so.1")


@payload.both
def test_it_is_not_loaded(works, container, scan, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("id"), "-u"])
    if not naive.owned:
        pytest.skip(f"this processor or C library knows none of {', '.join(LEVELS)}")
    works(payload.SHOUT in naive.complaint, "id in the chroot prefers the target's libselinux")
    script = f"id -u; {BIN}/env -i {BIN}/ls -d /opt"
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed)
    assert attempt.lines == ["0", "/opt"]
