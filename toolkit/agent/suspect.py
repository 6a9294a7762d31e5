"""What a target could mislead the scan with, told from the mounts of our copy: refused, not worked around."""

from __future__ import annotations

import os

from toolkit.agent import kernel, mounts
from toolkit.agent.failure import AgentError
from toolkit.agent.job import MOUNT_POINT

_OWN_PLACES = (MOUNT_POINT, f"{MOUNT_POINT}/job", f"{MOUNT_POINT}/tmp")  # noqa: S108 a private tmpfs


def check_mount_point(root: int, within: list[mounts.Mount]) -> None:
    """Raise AgentError unless the directory for the bundle is one that nobody can rename.

    Root of the target could move away a place of an ordinary file system, with the bundle mounted on it, and
    put another one there.
    """
    try:
        os.close(kernel.open_beneath(root, MOUNT_POINT, os.O_PATH | os.O_DIRECTORY))
        above = kernel.open_beneath(root, "sys", os.O_PATH | os.O_DIRECTORY)
    except OSError:
        raise AgentError(
            f"the target has no /{MOUNT_POINT} to mount the auditor on, and nothing may be created in it",
            "mount sysfs on /sys as every container runtime does, or scan its files with rootfs://",
        ) from None
    mount_id = kernel.place_of(above)[0]
    os.close(above)
    if not any(mount.mount_id == mount_id and mount.kind == "sysfs" for mount in within):
        raise AgentError(
            "the target's /sys is not a sysfs, so that it could move what the auditor is mounted on",
            "mount sysfs on /sys as every container runtime does, or scan its files with rootfs://",
        )


def own_places() -> list[tuple[int, int, int, int]]:
    """Return which files the paths of bundle, job and scratch lead to now."""
    found = []
    for path in _OWN_PLACES:
        fd = os.open(f"/{path}", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        found.append(kernel.place_of(fd))
        os.close(fd)
    return found


def check_own_places(before: list[tuple[int, int, int, int]]) -> None:
    """Raise AgentError when a path of ours leads elsewhere by now: what was run may not have been ours."""
    try:
        same = own_places() == before
    except OSError:
        same = False
    if not same:
        raise AgentError("the target moved the auditor away during the scan", "treat this target as hostile")
