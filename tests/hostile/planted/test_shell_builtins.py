"""A builtin of bash that the target has as a shared library in bash's own directory for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle]


def _plant(root: Path) -> None:
    payload.library(root / "usr/lib/bash/finfo")
    payload.library(root / "usr/local/lib/bash/finfo")


@payload.both
def test_it_is_not_loaded(works, container, scan, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("bash"), "-c", "enable -f finfo finfo"])
    works(naive.owned and payload.SHOUT in naive.complaint, "bash in the chroot loads the library")
    script = "enable -f finfo finfo || echo none; ls /usr/lib/bash"
    attempt = payload.audit(
        scan, target, f'{script}; {BIN}/env -i {BIN}/bash -c "$0"', allow_target_exec=exec_allowed
    )
    assert attempt.lines == ["none", "finfo"]
