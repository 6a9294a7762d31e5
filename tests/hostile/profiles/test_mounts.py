"""A profile makes the target's tree writable again, or uncovers and adds mounts."""

from __future__ import annotations

import pytest

from tests.hostile.profiles.engine import SAID, answered, in_chroot, malicious, plant

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# mount(2) flags: 0x1020 MS_BIND | MS_REMOUNT (that is, no longer read-only), 0x1000 MS_BIND; umount2(2)
# MNT_DETACH; open_tree(2) OPEN_TREE_CLONE; fsopen(2), move_mount(2), mount_setattr(2) clearing RDONLY.
ATTACK = f"""{SAID}
said("remount", (165, 40), b"none", b"/", None, ctypes.c_ulong(0x1020), None)
said("bind", (165, 40), b"/etc", b"/mnt", None, ctypes.c_ulong(0x1000), None)
said("tmpfs", (165, 40), b"none", b"/mnt", b"tmpfs", ctypes.c_ulong(0), None)
said("umount2", (166, 39), b"/mnt", 2)
said("open_tree", (428, 428), -100, b"/etc", 1)
said("fsopen", (430, 430), b"tmpfs", 0)
said("mount_setattr", (442, 442), -100, b"/", 0, (ctypes.c_uint64 * 4)(0, 1, 0, 0), ctypes.c_ulong(32))
try:
    open("/etc/planted", "w").close()
    print("written")
except OSError as error:
    print("not written:", errno.errorcode[error.errno])
"""
CALLS = ("remount", "bind", "tmpfs", "umount2", "open_tree", "fsopen", "mount_setattr")


@pytest.mark.parametrize("without", [[], ["system-calls"], ["system-calls", "landlock"]])
def test_the_tree_stays_as_it_was_mounted(works, container, scan, without):
    target = container(prepare=plant)
    had = in_chroot(target.tree, ATTACK)
    works({"bind done", "tmpfs done", "umount2 done", "written"} <= set(had), "root mounts and writes")
    *refused, written = answered(scan(target.uri, malicious(ATTACK), without=without))
    assert refused == [f"{call} EPERM" for call in CALLS]
    assert written == "not written: EROFS"
    assert target.written() == set()
