"""A kind of network link that the target has a shared library for, which ip(8) loads to tell of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle, payload.needs("ip")]


def _plant(root: Path) -> None:
    for folder in ("usr/lib/ip", f"{payload.LIBRARIES}/ip", "usr/lib/iproute2"):
        payload.library(root / folder / "link_evil.so")


@payload.both
def test_it_is_not_loaded(works, container, scan, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("ip"), "link", "add", "x", "type", "evil", "help"])
    works(naive.owned and payload.SHOUT in naive.complaint, "ip in the chroot loads the library")
    asked = "link add x type evil help"
    script = f"ip {asked}; {BIN}/env -i {BIN}/ip {asked}; ip -o link show lo | cut -d: -f2"
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed)
    assert attempt.lines[-1] == " lo"
