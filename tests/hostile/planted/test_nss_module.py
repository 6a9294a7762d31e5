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


@payload.both
def test_it_is_not_loaded(works, container, scan, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("getent"), "passwd", "nobody-there"])
    works(naive.owned and payload.SHOUT in naive.complaint, "getent in the chroot loads the target's library")
    script = f"{BIN}/id somebody; {BIN}/env -i {BIN}/getent passwd somebody; ls -l /etc/passwd"
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed)
    assert attempt.lines[0].startswith("uid=1234(somebody)")
    assert attempt.lines[1] == "somebody:x:1234:1234::/:/bin/false"
