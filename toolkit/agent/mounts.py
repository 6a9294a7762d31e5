"""Mount tables: parsing /proc/PID/mountinfo, and the data that let the bundle's programs show the original.

The audit sees everything read-only, nosuid, nodev, noexec. Programs of the bundle are told the flags that
held before, so that no rule reads ours (see `view` in the bundle).
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

REMOTE = re.compile(
    r"(fuse(?!ctl)|fuseblk|nfs\d?$|cifs|smb3|smbfs|9p|ceph|afs|glusterfs|lustre|beegfs|coda|ocfs2|gfs2|autofs)"
)
"""File systems that may never answer a request; one that waits for them can't be killed."""


class Mount(NamedTuple):
    """One line of mountinfo, proc_pid_mountinfo(5)."""

    mount_id: int
    point: str
    options: str
    kind: str


def parse(mountinfo: bytes) -> list[Mount]:
    """Return the mounts in the kernel's order; points are unescaped, relative to the reader's root."""
    mounts = []
    for line in mountinfo.split(b"\n"):  # splitlines() would heed separators that the kernel leaves in names
        left, _, right = os.fsdecode(line).partition(" - ")
        fields = left.split(" ")
        if len(fields) > 5 and right:
            kind, _, super_options = right.split(" ", 2)
            options = _effective(fields[5], super_options)
            mounts.append(Mount(int(fields[0]), _unescape(fields[4]), options, kind))
    return mounts


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
    root = [mount for mount in ours if mount.point == prefix][
        -1:
    ]  # those below it are ours, not the target's
    within = [mount for mount in ours if mount.point.startswith(prefix + "/")]
    for mount in root + within:
        options = waiting.get(mount.point.removeprefix(prefix) or "/")
        if options:
            lines.append(f"{mount.mount_id} {options.pop(0)}\n")
    return "".join(lines)
