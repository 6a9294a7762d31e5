"""A command that the target's modprobe.d tells modprobe(8) to run in place of loading a module."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import DOCKER
from tests.hostile.naive import visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle]
COMMAND = f"true; {payload.SHELL}"


def _plant(root: Path) -> None:
    payload.write(root, "/etc/modprobe.d/evil.conf", f"install evil {COMMAND}\n")


@payload.both
def test_it_is_told_but_not_run(works, bundle, container, scan, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [*payload.unbound(bundle, "kmod", "modprobe"), "evil"])
    works(naive.owned and payload.SHOUT in naive.complaint, "modprobe in the chroot runs the command")
    asked = "modprobe -n -v evil | cut -d';' -f1; modprobe -c | grep -c evil"
    script = f"modprobe evil 2>/dev/null || echo refused; {asked}"
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed)
    assert attempt.lines == ["refused", "install true", "1"]
