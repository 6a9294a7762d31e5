"""A library that a tool loads only if there is one: ps(1) asks for libnuma, which few systems have."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle, payload.needs("ps")]


def _plant(root: Path) -> None:
    payload.library(root / payload.LIBRARIES / "libnuma.so.1")
    payload.library(root / "usr/lib/libnuma.so.1")


@payload.both
def test_it_is_not_loaded(works, container, scan, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("ps"), "-o", "numa", "-p", "1"])
    works(naive.owned and payload.SHOUT in naive.complaint, "ps in the chroot loads it")
    script = f"ps -o comm=,numa= -p 1; {BIN}/env -i {BIN}/ps -o comm= -p 1"
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed)
    assert [line.split()[0] for line in attempt.lines] == ["attack", "attack"]
