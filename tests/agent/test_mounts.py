"""Mount tables are read as the kernel writes them, and matched to the copy that was made of them."""

from __future__ import annotations

import pytest

from toolkit.agent import mounts

TABLE = rb"""21 1 0:20 / / rw,relatime - overlay overlay rw
22 21 0:21 / /proc rw,nosuid,nodev,noexec - proc proc rw
23 21 0:22 / /da\040ta rw,relatime shared:3 - ext4 /dev/sda rw
24 23 0:23 / /da\040ta ro,nosuid - tmpfs tmpfs rw
"""


def test_points_are_unescaped_and_optional_fields_skipped():
    parsed = mounts.parse(TABLE)
    assert [(m.mount_id, m.point, m.kind) for m in parsed] == [
        (21, "/", "overlay"),
        (22, "/proc", "proc"),
        (23, "/da ta", "ext4"),
        (24, "/da ta", "tmpfs"),
    ]


def test_a_read_only_file_system_makes_the_mount_read_only():
    (mount,) = mounts.parse(b"9 1 0:9 / /x rw,nosuid - squashfs /dev/loop0 ro,errors=continue\n")
    assert mount.options == "ro,nosuid"


def test_flags_of_stacked_mounts_are_matched_in_order():
    ours = [
        mounts.Mount(90, "/", "rw", "ext4"),
        mounts.Mount(89, "/x/empty", "rw", "tmpfs"),
        mounts.Mount(91, "/x/empty", "ro", "overlay"),
        mounts.Mount(92, "/x/empty/da ta", "ro", "ext4"),
        mounts.Mount(93, "/x/empty/da ta", "ro", "tmpfs"),
        mounts.Mount(94, "/x/empty/sys/firmware", "ro", "ext4"),
        mounts.Mount(95, "/x/empty2", "ro", "ext4"),
    ]
    lines = mounts.original_flags(ours, "/x/empty", mounts.parse(TABLE)).splitlines()
    assert lines == ["91 rw,relatime", "92 rw,relatime", "93 ro,nosuid"]


def test_flags_of_a_root_that_is_covered_are_its_own():
    ours = [mounts.Mount(91, "/x/empty", "ro", "overlay"), mounts.Mount(92, "/x/empty", "ro", "tmpfs")]
    table = [mounts.Mount(1, "/", "rw", "overlay"), mounts.Mount(2, "/", "rw,nosuid", "tmpfs")]
    assert mounts.original_flags(ours, "/x/empty", table).splitlines() == ["91 rw", "92 rw,nosuid"]


@pytest.mark.parametrize(
    "kind", ["fuse.sshfs", "fuseblk", "fuse", "nfs", "nfs4", "cifs", "9p", "ceph", "autofs"]
)
def test_file_systems_that_may_never_answer_are_known(kind):
    assert mounts.REMOTE.match(kind)


@pytest.mark.parametrize("kind", ["ext4", "overlay", "tmpfs", "fusectl", "nfsd", "proc", "xfs"])
def test_others_are_not(kind):
    assert not mounts.REMOTE.match(kind)


def test_an_overlay_is_as_silent_as_its_layers():
    lines = [
        "20 1 0:20 / /x rw - overlay overlay rw,lowerdir=/var/lib/a:/var/lib/b",
        "21 20 0:21 / /x/f rw - fuse.evil evil rw",
        r"22 20 0:22 / /x/o rw - overlay overlay rw,lowerdir=/home:/f/sub\040dir,upperdir=/u,workdir=/w",
        "23 20 0:23 / /x/p rw - overlay overlay rw,lowerdir=/food,upperdir=/u,workdir=/w",
        "24 20 0:24 / /x/v rw - virtiofs share rw",
    ]
    table = mounts.parse("\n".join(lines).encode(), "/x")
    assert [mount.mount_id for mount in mounts.remote(table, "/x")] == [21, 24, 22]
