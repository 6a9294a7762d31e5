"""What a target could mislead the scan with, told from the mounts of our copy: refused, not worked around."""

from __future__ import annotations

import os

from toolkit.agent import kernel, locate, mounts
from toolkit.agent.failure import AgentError
from toolkit.agent.job import MOUNT_POINT

_TRUST = "scan its files with rootfs://, or use --trust-target"
_MASKED = {
    *("acpi", "asound", "interrupts", "kcore", "keys", "kmsg", "latency_stats", "sched_debug", "scsi"),
    *("sysrq-trigger", "timer_list", "timer_stats", "sys/kernel/random/boot_id"),
}
"""What container runtimes cover below /proc: moby `oci/defaults.go`, systemd `nspawn-mount.c`."""
_KERNELS_OWN = {"binfmt_misc", "nfsd", "rpc_pipefs", "xenfs"}
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


def check_proc(root: int, within: list[mounts.Mount], place: str, number: int, namespace: str) -> None:
    """Raise AgentError unless the target's /proc is one of its own PID namespace, with nothing forged in it.

    It is kept as it is, since what it hides is true of the target: masks of the runtime, hidepid.
    """
    for mount in within:
        if mount.point.startswith(f"{place}/proc/") and not _may_cover(mount, f"{place}/proc/"):
            path = mount.point.removeprefix(place)
            raise AgentError(f"the target has covered {path!r}, so that what it says may be forged", _TRUST)
    try:
        directory = kernel.open_beneath(root, f"proc/{number}", os.O_PATH | os.O_DIRECTORY)
        seen, mount_id = locate.namespace_name(directory, "pid"), kernel.place_of(directory)[0]
    except OSError:
        seen, mount_id = "", -1
    if seen != namespace or not any(mount.mount_id == mount_id and mount.kind == "proc" for mount in within):
        raise AgentError("the target's /proc does not show its own processes", _TRUST)


def _may_cover(mount: mounts.Mount, proc: str) -> bool:
    name = mount.point.removeprefix(proc)
    first = name.partition("/")[0]
    if first.isdigit() or first in {"self", "thread-self"}:
        return False
    same = mount.kind == "proc" and mount.root == f"/{name}"  # mounted upon itself, to make it read-only
    return same or name in _MASKED or mount.kind in _KERNELS_OWN or bool(mounts.REMOTE.match(mount.kind))
