"""A name service that the target has and names in its nsswitch.conf, as in CVE-2019-14271."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle]


def _plant(root: Path) -> None:
    payload.write(root, "/etc/nsswitch.conf", "passwd: owned\ngroup: owned\n")
    payload.write(root, "/etc/passwd", "somebody:x:1234:1234::/:/bin/false\n")
    payload.library(root / payload.LIBRARIES / "libnss_owned.so.2")


@pytest.mark.parametrize("exec_allowed", [False, True])
def test_it_is_not_loaded(works, container, scan, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("getent"), "passwd", "nobody-there"])
    works(naive.owned and payload.SHOUT in naive.complaint, "getent in the chroot loads the target's library")
    script = f"{BIN}/id somebody; {BIN}/ls -l /etc/passwd"
    attempt = scan(target.uri, script, allow_target_exec=exec_allowed)
    assert attempt.outcome.complete, attempt.error
    assert payload.SHOUT not in attempt.outcome.stderr
    assert attempt.lines[0].startswith("uid=1234(somebody)")
    assert target.written() == set()
