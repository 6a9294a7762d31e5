"""Tools that are scripts in the target, whose first line names a program of the target as interpreter."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import DOCKER
from tests.hostile.naive import visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle]
FIRST_LINES = ("/opt/evil", "/opt/evil -c", "/usr/bin/env evil")


def _plant(first_line: str, root: Path) -> None:
    payload.program(root / "opt/evil")
    payload.program(root / "usr/bin/evil")
    for name in ("id", "which", "zcat", "egrep"):
        payload.write(root, f"/usr/bin/{name}", f"#!{first_line}\n", 0o755)
    payload.write(root, "/etc/issue", "true content\n")


@payload.both
@pytest.mark.parametrize("first_line", FIRST_LINES)
def test_it_is_not_started(works, container, scan, first_line, exec_allowed):
    target = container(caps=DOCKER, prepare=lambda root: _plant(first_line, root))
    naive = visit(target.tree, ["/usr/bin/id", "-u"])
    works(naive.owned and payload.SHOUT in naive.complaint, "the kernel starts it for id in the chroot")
    script = "id -u; /usr/bin/id -u; which evil; egrep -o 'true' /etc/issue; gzip -c /etc/issue | zcat"
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed)
    assert attempt.lines == ["0", "0", "/usr/bin/evil", "true", "true content"]
