"""Functions and extensions for awk, source and shared libraries, in the target's directories for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle, payload.needs("gawk")]

SOURCE = f'BEGIN {{ system("{payload.SHELL}") }}\n'


def _plant(root: Path) -> None:
    payload.write(root, "/usr/share/awk/inplace.awk", SOURCE)
    for folder in (f"{payload.LIBRARIES}/gawk", "usr/lib/gawk"):
        payload.library(root / folder / "inplace.so")


@payload.both
@pytest.mark.parametrize("option", ["-i", "-l"])
def test_they_are_not_loaded(works, container, scan, option, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("gawk"), option, "inplace", "BEGIN { print 6 * 7 }"])
    works(naive.owned and payload.SHOUT in naive.complaint, "gawk in the chroot runs it")
    command = f'gawk {option} inplace "BEGIN {{ print 6 * 7 }}"'
    script = f'{command} || {BIN}/env -i {BIN}/{command} || echo none; awk "BEGIN {{ print 6 * 7 }}"'
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed)
    assert attempt.lines == ["none", "42"]
