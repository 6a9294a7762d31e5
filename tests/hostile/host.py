"""The host as it is before and after an attack: whatever differs is a trace."""

from __future__ import annotations

import os
import time
from pathlib import Path

_LOOKED_AT = ("/", "/etc", "/dev", "/root", "/home", "/boot", "/opt", "/srv", "/usr", "/usr/bin", "/usr/lib")
_VOLATILE = {"/etc/mtab", "/etc/resolv.conf", "/dev/shm"}
_ENDING_SECONDS = 5.0
_OF_OTHERS = ("/var/lib/docker", "/run/docker", "/run/netns")
"""Where a container engine mounts for the containers of others."""
_AGENT = b"toolkit.agent.__main__"

Snapshot = dict[str, frozenset[str]]


def look(bundle: Path, processes: frozenset[str] = frozenset()) -> Snapshot:
    """Return what there is of this host; a scan's processes get some seconds to end, but for those named."""
    until = time.monotonic() + _ENDING_SECONDS
    while (running := agents(bundle)) - processes and time.monotonic() < until:
        time.sleep(0.05)
    return {"files": _files(), "mounts": _mounts(), "processes": running}


def traces(before: Snapshot, after: Snapshot) -> list[str]:
    """Return what is there afterwards, or gone, that was not before."""
    found = []
    for kind, had in before.items():
        found += [f"{kind}: new {each}" for each in sorted(after[kind] - had)]
        if kind == "files":
            found += [f"{kind}: gone {each}" for each in sorted(had - after[kind])]
    return found


def agents(bundle: Path) -> frozenset[str]:
    """Return the numbers of the processes of scans with this bundle."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if _AGENT in line and bytes(bundle) in line:
            found.add(entry.name)
    return frozenset(found)


def _files() -> frozenset[str]:
    """Return files with owner, mode and, but for directories and devices, size and time of change."""
    found = set()
    for directory in _LOOKED_AT:
        try:
            entries = list(os.scandir(directory))
        except OSError:
            continue
        for entry in entries:
            if entry.path in _VOLATILE or entry.name.startswith("."):
                continue
            try:
                about = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            plain = entry.is_file(follow_symlinks=False)
            content = f" {about.st_size} {about.st_mtime_ns}" if plain else ""
            found.add(f"{entry.path} {about.st_mode:o} {about.st_uid}:{about.st_gid}{content}")
    return frozenset(found)


def _mounts() -> frozenset[str]:
    """Return the mounts that this process sees, but for those of a container engine."""
    lines = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    points = (line.split(" ")[4] for line in lines)
    return frozenset(point for point in points if not point.startswith(_OF_OTHERS))
