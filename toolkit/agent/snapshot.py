"""Sockets of the target's processes, recorded before the privileges go: afterwards `/proc/N/fd` is closed.

Read from our own /proc, never the target's, which may be anything.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from toolkit.agent import locate

MAX_PROCESSES = 2000
MAX_LINKS = 20_000


def sockets(target: locate.Target) -> dict[str, str]:
    """Return links by path, such as `proc/1/fd/3` → `socket:[123]`, numbered as the target's /proc does.

    Only processes of the target's own PID namespace are recorded; what has ended meanwhile is left out.
    """
    namespace = locate.namespace_name(target, "pid")
    links: dict[str, str] = {}
    for entry in sorted(Path("/proc").glob("[0-9]*"))[:MAX_PROCESSES]:
        with contextlib.suppress(OSError, IndexError, ValueError):
            if (entry / "ns/pid").readlink() == Path(namespace):
                links |= _of_process(entry)
        if len(links) > MAX_LINKS:
            break
    return links


def _of_process(entry: Path) -> dict[str, str]:
    directory = os.open(entry, os.O_PATH | os.O_CLOEXEC)
    try:
        number = locate.number_inside(directory)
    finally:
        os.close(directory)
    found = {}
    for fd in (entry / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            link = str(fd.readlink())
            if link.startswith("socket:["):
                found[f"proc/{number}/fd/{fd.name}"] = link
    return found
