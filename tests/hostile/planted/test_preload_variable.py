"""A library of the target that the environment of a command names, as LD_PRELOAD or as LD_AUDIT."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle]

VARIABLES = ("LD_PRELOAD", "LD_AUDIT")


def _plant(root: Path) -> None:
    payload.library(root / "opt/evil.so", "unsigned la_version(unsigned version) { return version; }")


@pytest.mark.parametrize("variable", VARIABLES)
def test_it_is_not_loaded(works, container, scan, variable):
    target = container(caps=DOCKER, prepare=_plant)
    command = f"env {variable}=/opt/evil.so ls /opt"
    naive = visit(target.tree, [tool("sh"), "-c", command])
    works(naive.owned and payload.SHOUT in naive.complaint, "ls in the chroot loads it")
    lifted = scan(target.uri, command, allow_target_exec=True)
    works(payload.SHOUT in lifted.outcome.stderr, "ls loads it where programs of the target may run")
    script = f"{command}; {BIN}/env -i {variable}=/opt/evil.so {BIN}/id -u; id -u"
    attempt = payload.audit(scan, target, script)
    assert attempt.lines == ["evil.so", "0", "0"]
    assert attempt.outcome.stderr.count("failed to map segment from shared object") >= 2
