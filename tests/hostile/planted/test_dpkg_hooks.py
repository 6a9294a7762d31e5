"""Hooks and another database in the target's dpkg.cfg.d: commands that dpkg runs, and forged answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle, payload.needs("dpkg")]

STATUS = """Package: {name}
Status: install ok installed
Version: 1
Architecture: all
Maintainer: x
Description: x

"""


def _plant(root: Path) -> None:
    for name in ("dpkg", "dpkg-query"):
        payload.write(
            root, f"/etc/dpkg/{name}.cfg.d/evil", f"pre-invoke={payload.SHELL}\nadmindir=/opt/evil\n"
        )
        payload.write(root, f"/root/.{name}.cfg", "admindir=/opt/evil\n")
    for place, name in (("/var/lib/dpkg", "true-package"), ("/opt/evil", "forged")):
        payload.write(root, f"{place}/status", STATUS.format(name=name))
        payload.write(root, f"{place}/info/{name}.list", "/.\n")
        (root / place.lstrip("/") / "updates").mkdir()


@payload.both
def test_they_are_not_run(works, container, scan, exec_allowed):
    target = container(caps=DOCKER, prepare=_plant)
    naive = visit(target.tree, [tool("dpkg"), "--configure", "--pending"])
    works(naive.owned and payload.SHOUT in naive.complaint, "dpkg in the chroot runs the command")
    asked = "dpkg -l; dpkg-query -W; dpkg --configure --pending"
    script = f"{asked}; {BIN}/env -i {BIN}/dpkg-query -W; {BIN}/env -i HOME=/root {BIN}/dpkg-query -W"
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed)
    assert [line for line in attempt.lines if line.startswith("true-package")] == ["true-package\t1"] * 3
    assert not any("forged" in line for line in attempt.lines)
