"""The loader itself, planted at the place that every program names as its interpreter (PT_INTERP)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload
from toolkit.bundle import elf

pytestmark = [pytest.mark.root, pytest.mark.bundle]


def _loader() -> Path:
    place = elf.interpreter(Path(tool("cat")))
    assert place, "cat is a static program"
    return place.resolve()


def _plant(root: Path) -> None:
    payload.freestanding(root / str(_loader()).lstrip("/"))


@payload.both
def test_it_is_not_started(works, container, scan, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("cat"), "/etc/hostname"])
    works(
        naive.owned and payload.SHOUT in naive.complaint, "the kernel starts it in place of the chroot's cat"
    )
    script = f"stat -c %s {_loader()}; {BIN}/env -i {BIN}/uname -s; {BIN}/bash -c 'echo $((6 * 7))'"
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed)
    size = (target.tree / str(_loader()).lstrip("/")).stat().st_size
    assert attempt.lines == [str(size), "Linux", "42"]
