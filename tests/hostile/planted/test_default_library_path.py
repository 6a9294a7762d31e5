"""Libraries at the loader's own default directories, with the sonames that the visitor's tools ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle]
SONAMES = ("libselinux.so.1", "libacl.so.1", "libproc2.so.0", "libsmartcols.so.1", "libmount.so.1")
SCRIPT = "id -u; getfacl -c /opt; ps -o comm= 1; findmnt -no TARGET /; mount | head -n 1"


def _plant(root: Path) -> None:
    (root / "opt").mkdir()
    for soname in SONAMES:
        payload.library(root / payload.LIBRARIES / soname, "", f"-Wl,-soname,{soname}")


@payload.both
def test_they_are_not_loaded(works, container, scan, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("id"), "-u"])
    works(naive.owned and payload.SHOUT in naive.complaint, "id in the chroot loads the target's libselinux")
    script = f"{SCRIPT}; {BIN}/env -i {BIN}/id -u"
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed)
    assert [attempt.lines[0], attempt.lines[-1]] == ["0", "0"]
    assert {"user::rwx", "attack", "/"} <= set(attempt.lines)
