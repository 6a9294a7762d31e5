"""Whether memory and number of processes of the scan are bounded by its control group, cgroups(7).

The group is made by whoever starts the agent: the client on its own host, the engine for an auditor
container. An ephemeral container of a pod has none of its own.
"""

from __future__ import annotations

from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
LIMITS = {
    "memory": ("memory.max", "memory.limit_in_bytes"),
    "pids": ("pids.max", "pids.max"),
}
"""Controller → the file with its bound in version 2 and in version 1."""
_NONE = 1 << 60  # what version 1 says for no bound is near 2^63


def membership(text: str) -> dict[str, str]:
    """Return the paths of a /proc/PID/cgroup by controller; "" is that of version 2."""
    paths: dict[str, str] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        paths |= dict.fromkeys(controllers.split(","), path)
    return paths


def loose() -> str:
    """Return what is not bounded, in a sentence; nothing where all is."""
    try:
        paths = membership(Path("/proc/self/cgroup").read_text())
        found = [name for name in LIMITS if not _bounded(name, paths)]
    except (OSError, ValueError):
        found = list(LIMITS)
    return f"no control group of the scan's own bounds {' and '.join(found)} here" if found else ""


def _bounded(name: str, paths: dict[str, str]) -> bool:
    newer, older = LIMITS[name]
    candidates = (
        [(MOUNT / name, paths[name], older)] if name in paths else [(MOUNT, paths.get("", "/"), newer)]
    )
    for mount, path, file in candidates:
        for directory in (mount / path.lstrip("/"), mount):  # in a container the mount is the group's own
            try:
                said = (directory / file).read_text().strip()
            except OSError:
                continue
            return said.isdigit() and int(said) < _NONE
    return False
