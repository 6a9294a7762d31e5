"""The program that diff(1) starts to lay out what it found, at a path that is compiled in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle, payload.needs("diff")]


def _plant(root: Path) -> None:
    payload.program(root / "usr/bin/pr")
    payload.write(root, "/etc/one", "1\n")
    payload.write(root, "/etc/two", "2\n")


@payload.both
def test_it_is_not_started(works, container, scan, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("diff"), "-l", "/etc/one", "/etc/two"])
    works(naive.owned and payload.SHOUT in naive.complaint, "diff in the chroot starts it")
    script = (
        f"diff -l /etc/one /etc/two; {BIN}/env -i {BIN}/diff -l /etc/one /etc/two; diff /etc/one /etc/two"
    )
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed)
    assert attempt.lines == ["1c1", "< 1", "---", "> 2"]
