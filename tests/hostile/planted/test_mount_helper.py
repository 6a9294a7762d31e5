"""A helper for a file system that the target names in fstab: mount(8) runs /sbin/mount.TYPE for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import DOCKER
from tests.hostile.naive import tool, visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle]


def _plant(root: Path) -> None:
    payload.write(root, "/etc/fstab", "none /mnt evil defaults 0 0\n")
    for folder in ("usr/sbin", "sbin", "sbin/fs", "sbin/fs.d"):
        payload.program(root / folder / "mount.evil")


def _plant_for_chroot(root: Path) -> None:
    payload.write(root, "/etc/fstab", "none /mnt evil defaults 0 0\n")
    payload.program(root / "usr/sbin/mount.evil")


@payload.both
def test_it_is_not_run(works, container, scan, tmp_path, exec_allowed):
    _plant_for_chroot(tmp_path)
    (tmp_path / "mnt").mkdir()
    naive = visit(tmp_path, [tool("mount"), "/mnt"])
    works(naive.owned and payload.SHOUT in naive.complaint, "mount in the chroot runs the helper")
    target = container(caps=DOCKER, prepare=_plant)
    script = "mount /mnt || echo not mounted; mount -a || echo none; findmnt -sno FSTYPE /mnt; cat /etc/fstab"
    attempt = payload.audit(scan, target, script, allow_target_exec=exec_allowed)
    assert attempt.lines == ["not mounted", "none", "evil", "none /mnt evil defaults 0 0"]
