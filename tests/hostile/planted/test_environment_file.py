"""Variables for every session in the target's /etc/environment, one of which preloads a library."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle, payload.needs("su")]


def _plant(root: Path) -> None:
    payload.library(root / "opt/evil.so")
    payload.write(root, "/etc/environment", "LD_PRELOAD=/opt/evil.so\n")
    payload.write(root, "/etc/security/pam_env.conf", "LD_PRELOAD DEFAULT=/opt/evil.so\n")


@payload.both
def test_they_are_not_set(works, container, scan, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("su"), "root", "-c", "id -u"])
    works(naive.owned and payload.SHOUT in naive.complaint, "su in the chroot sets them")
    script = f"env | grep -c ^LD_; cat /etc/environment; {BIN}/env -i {BIN}/bash -l -c env | grep -c ^LD_"
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed)
    assert attempt.lines == ["0", "LD_PRELOAD=/opt/evil.so", "0"]
