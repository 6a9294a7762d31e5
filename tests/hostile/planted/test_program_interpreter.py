"""Tools that are programs in the target, whose header names a program of the target as loader (PT_INTERP)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import DOCKER
from tests.hostile.naive import visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle]
MAIN = "int main(void) { return 0; }"


def _plant(root: Path) -> None:
    payload.program(root / "usr/bin/uname", MAIN, "-Wl,--dynamic-linker=/opt/evil")
    payload.freestanding(root / "opt/evil")


@payload.both
def test_it_is_not_started(works, container, scan, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, ["/usr/bin/uname", "-s"])
    works(naive.owned and payload.SHOUT in naive.complaint, "the kernel starts it for uname in the chroot")
    attempt = payload.audit(scan, target, "uname -s; /usr/bin/uname -s", allow_target_exec=exec_allowed)
    assert attempt.lines == ["Linux", "Linux"]
