"""A program that only the target has, asked for by its name: it runs where that was allowed, else never."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import DOCKER
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle]
WAYS = (
    "systemctl status",
    "/usr/bin/systemctl status",
    "sh -c 'systemctl status'",
    "xargs systemctl </dev/null",
)


def _plant(root: Path) -> None:
    payload.program(root / "usr/bin/systemctl", 'int main(void) { puts("active (running)"); return 0; }')


@pytest.mark.parametrize("command", WAYS)
def test_it_is_refused(works, container, scan, command):
    target = container(caps=DOCKER, prepare=_plant)
    allowed = scan(target.uri, command, allow_target_exec=True)
    works(
        "active (running)" in allowed.lines and payload.SHOUT in allowed.outcome.stderr, "it runs if allowed"
    )
    attempt = payload.audit(scan, target, f"{command} || echo status $?")
    assert attempt.lines in (["status 126"], ["status 127"])
    assert "Permission denied" in attempt.outcome.stderr
