"""Keeps the root of a user namespace from looking through an engine that has joined it.

There it has every capability, tracing included. To look through a program it must also have them over the
program's memory, which belongs to the user namespace that may read the program's file (would_dump in
fs/exec.c of the kernel). So the loader, which the kernel starts for every program of the bundle, gets covered
by a copy that can only be executed, of a group that the namespace does not know.
"""

from __future__ import annotations

import os

from toolkit.agent import kernel, locate
from toolkit.agent.failure import AgentError
from toolkit.agent.job import MOUNT_POINT

_SCRATCH = f"{MOUNT_POINT}/tmp"  # noqa: S108 a private tmpfs
_NO_GROUP = 0xFFFFFFFF
_SAFE = kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV


def shield_loader(root: int, target: locate.Target) -> None:
    """Mount a copy of the bundle's loader over it that the target's user namespace may not read."""
    library = kernel.open_beneath(root, f"{MOUNT_POINT}/lib", os.O_RDONLY | os.O_DIRECTORY)
    with os.scandir(library) as entries:
        name = next(entry.name for entry in entries if entry.name.startswith("ld-linux"))
    options = {"size": "4m", "mode": "2755", "gid": str(_foreign_group(target))}
    place = kernel.new_filesystem("tmpfs", options, _SAFE)
    # Only what is attached can be copied to another place.
    kernel.move_mount(place, kernel.open_beneath(root, _SCRATCH, os.O_PATH))
    _copy(library, name, place)
    kernel.mount_setattr(place, _SAFE | kernel.MOUNT_ATTR_RDONLY)
    loader = kernel.clone_tree(name, place)
    kernel.move_mount(loader, kernel.open_beneath(root, f"{MOUNT_POINT}/lib/{name}", os.O_PATH))
    kernel.unmount(f"/proc/self/fd/{kernel.open_beneath(root, _SCRATCH, os.O_PATH)}", kernel.MNT_DETACH)


def _copy(source: int, name: str, place: int) -> None:
    reading = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=source)
    writing = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o111, dir_fd=place)
    with os.fdopen(reading, "rb") as original, os.fdopen(writing, "wb") as copy:
        copy.write(original.read())


def _foreign_group(target: locate.Target) -> int:
    """Return a group that the target's user namespace has no number for."""
    ranges = locate.id_ranges(target.directory, "gid_map")
    candidates = [0, *(first + count for _, first, count in ranges)]
    for group in candidates:
        if group < _NO_GROUP and not any(first <= group < first + count for _, first, count in ranges):
            return group
    raise AgentError(
        "the target's user namespace has every group of this host, so that its root could forge the result",
        "scan its files with rootfs://",
    )
