"""A library that the target's /etc/ld.so.preload names: the loader puts it into every program that starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle]


def _plant(root: Path) -> None:
    payload.library(root / "opt/evil.so")
    payload.write(root, "/etc/ld.so.preload", "/opt/evil.so\n")


@payload.both
def test_it_is_not_loaded(works, container, scan, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("cat"), "/etc/ld.so.preload"])
    works(naive.owned and payload.SHOUT in naive.complaint, "cat in the chroot is preloaded with it")
    script = f"cat /etc/ld.so.preload; {BIN}/env -i {BIN}/cat /etc/ld.so.preload"
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed)
    assert attempt.lines == ["/opt/evil.so", "/opt/evil.so"]
    assert attempt.outcome.stderr == ""
