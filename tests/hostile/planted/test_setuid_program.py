"""A program of the target with the set-user-ID bit, run by who audits it: it would get another identity."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle]
OWNER = 1234
MAIN = 'int main(void) { printf("%d\\n", geteuid()); return 0; }'
NO_SUID = ("nosuid",)
NO_NEW_PRIVILEGES = ("no-new-privileges", "landlock", "system-calls")
"""The other two can't be put on by who may gain privileges and has none."""


def _plant(root: Path) -> None:
    place = payload.program(root / "opt/program", MAIN)
    os.chown(place, OWNER, OWNER)
    place.chmod(0o6755)


@pytest.mark.parametrize("without", [(), NO_SUID, NO_NEW_PRIVILEGES], ids=str)
def test_it_stays_who_asks(works, container, scan, without):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("env"), "/opt/program"])
    works(naive.output == f"{OWNER}\n", "it becomes its owner in the chroot")
    bare = scan(target.uri, "/opt/program", allow_target_exec=True, without=[*NO_SUID, *NO_NEW_PRIVILEGES])
    works(bare.lines == [str(OWNER)], "it becomes its owner where nothing holds it back")
    script = f"/opt/program; {BIN}/stat -c '%a %u' /opt/program"
    attempt = scan(target.uri, script, allow_target_exec=True, without=list(without))
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == ["0", f"6755 {OWNER}"]
    assert target.written() == set()
