"""Mount tables: parsing /proc/PID/mountinfo, and the data that let the bundle's programs show the original.

The audit sees everything read-only, nosuid, nodev, noexec. Programs of the bundle are told the flags that
held before, so that no rule reads ours (see `view` in the bundle).
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

REMOTE = re.compile(
    r"(fuse(?!ctl)|virtiofs|nfs\d?$|cifs|smb3|smbfs|9p|ceph|afs|glusterfs|lustre|beegfs|coda|ocfs2|gfs2|gpfs"
    r"|orangefs|vboxsf|autofs)"
)
"""File systems that may never answer a request; one that waits for them can't be killed."""
_LAYERS = re.compile(r"(?:^|,)(?:lowerdir|datadir|upperdir)\+?=([^,]*)")


class Mount(NamedTuple):
    """One line of mountinfo, proc_pid_mountinfo(5)."""

    mount_id: int
    point: str
    options: str
    kind: str
    parent_id: int = 0
    root: str = "/"
    layers: tuple[str, ...] = ()
    unbindable: bool = False
    """Left out of copies by the kernel, mount_namespaces(7)."""


def parse(mountinfo: bytes, within: str = "") -> list[Mount]:
    """Return the mounts in the kernel's order; points are unescaped, relative to the reader's root.

    With `within`, only those at this place and below it.
    """
    mounts = []
    for line in mountinfo.split(b"\n"):  # splitlines() would heed separators that the kernel leaves in names
        left, _, right = os.fsdecode(line).partition(" - ")
        fields = left.split(" ")
        if len(fields) <= 5 or not right:
            continue
        point = _unescape(fields[4])
        if within and point != within and not point.startswith(within + "/"):
            continue
        kind, _, super_options = right.split(" ", 2)
        options = _effective(fields[5], super_options)
        layers = _layers(super_options) if kind == "overlay" else ()
        root, unbindable = _unescape(fields[3]), "unbindable" in fields[6:]
        mounts.append(Mount(int(fields[0]), point, options, kind, int(fields[1]), root, layers, unbindable))
    return mounts


def _layers(super_options: str) -> tuple[str, ...]:
    return tuple(
        part for value in _LAYERS.findall(super_options) for part in _unescape(value).split(":") if part
    )


def root_of(within: list[Mount], place: str) -> Mount:
    """Return the lowest mount at a place: the root of a tree that was attached there."""
    ids = {mount.mount_id for mount in within}
    return next(mount for mount in within if mount.point == place and mount.parent_id not in ids)


def remote(within: list[Mount], place: str) -> list[Mount]:
    """Return the mounts that may never answer; an overlay with a layer on one of them is one as well.

    A layer is known by its path only: where something else was mounted there since, this is not seen.
    """
    plain = [mount for mount in within if REMOTE.match(mount.kind)]
    points = [mount.point.removeprefix(place) for mount in plain]
    return plain + [
        mount
        for mount in within
        if any(layer == point or layer.startswith(point + "/") for layer in mount.layers for point in points)
    ]


def uncovered(within: list[Mount], found: list[Mount]) -> list[Mount]:
    """Return those of `found` that nothing is mounted upon, and the ones nearest to the root first."""
    covered = {(mount.parent_id, mount.point) for mount in within}
    tops = [mount for mount in found if (mount.mount_id, mount.point) not in covered]
    return sorted(tops, key=lambda mount: mount.point.count("/"))


def lowest_of_stack(within: list[Mount], top: Mount) -> Mount:
    """Return the first of the mounts that are stacked at the place of `top`."""
    by_id = {mount.mount_id: mount for mount in within}
    while (below := by_id.get(top.parent_id)) and below.point == top.point:
        top = below
    return top


def _effective(options: str, super_options: str) -> str:
    """Return the options as /proc/PID/mounts shows them: `ro` when mount or file system is."""
    rest = options.partition(",")[2]
    read_only = "ro" in {options.split(",", maxsplit=1)[0], super_options.split(",", maxsplit=1)[0]}
    return ",".join(filter(None, ("ro" if read_only else "rw", rest)))


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), text)


def original_flags(ours: list[Mount], prefix: str, original: list[Mount]) -> str:
    """Return lines of our mount id and the options the same mount had for the target.

    Mounts are matched by their point and, where several are stacked on one point, by their order, which a
    recursive copy keeps.
    """
    waiting: dict[str, list[str]] = {}
    for mount in original:
        waiting.setdefault(mount.point, []).append(mount.options)
    lines = []
    root = [mount for mount in ours if mount.point == prefix]
    del root[: max(0, len(root) - len(waiting.get("/", [])))]  # those below are ours, not the target's
    within = [mount for mount in ours if mount.point.startswith(prefix + "/")]
    for mount in root + within:
        options = waiting.get(mount.point.removeprefix(prefix) or "/")
        if options:
            lines.append(f"{mount.mount_id} {options.pop(0)}\n")
    return "".join(lines)
