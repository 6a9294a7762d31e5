"""A control group for an agent on this host: bounds on memory and processes of a whole scan, cgroups(7).

It lies below the client's own group, so that bounds which hold for the client hold for the scan too. Version
2 allows no group below one that has both processes and controllers: there it lies beside the client's.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from toolkit.agent import cgroup

MEMORY_BYTES = 2 << 30
"""InSpec was seen at 120 MB, oscap with the largest content at 600 MB; scratch is 256 MB."""
PROCESSES = 256
_PREFIX = "barescan-"
_EMPTYING_SECONDS = 2.0


class Group:
    """The directories of a group, one for each hierarchy; none where this process may make none."""

    def __init__(self, directories: list[Path]) -> None:
        self._directories = directories

    @property
    def made(self) -> bool:
        """Say whether there is one."""
        return bool(self._directories)

    def add(self, pid: int) -> None:
        """Put a process, and all that it will start, into the group; one that has ended is none."""
        for directory in self._directories:
            with contextlib.suppress(ProcessLookupError):
                (directory / "cgroup.procs").write_text(str(pid))


@contextlib.contextmanager
def group() -> Iterator[Group]:
    """Give a group with bounds, which is gone afterwards; one without directories where none can be made."""
    directories: list[Path] = []
    name = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    try:
        for parent, bounds in _places().items():
            directories.append(_make(parent, name, bounds))
    except OSError:
        for directory in directories:
            _remove(directory)
        directories = []
    try:
        yield Group(directories)
    finally:
        for directory in directories:
            _remove(directory)


def _places() -> dict[Path, dict[str, str]]:
    """Return where a group can be made, and which of its files get which bounds; raises OSError."""
    paths = cgroup.membership(Path("/proc/self/cgroup").read_text())
    values = {"memory": str(MEMORY_BYTES), "pids": str(PROCESSES)}
    if all(name in paths for name in values):
        return {
            cgroup.MOUNT / name / paths[name].lstrip("/"): {cgroup.LIMITS[name][1]: value}
            for name, value in values.items()
        }
    own = cgroup.MOUNT / paths[""].lstrip("/") if "" in paths else cgroup.MOUNT
    for parent in (own.parent, *own.parent.parents) if own != cgroup.MOUNT else (own,):
        with contextlib.suppress(FileNotFoundError):
            if set(values) <= set((parent / "cgroup.subtree_control").read_text().split()):
                return {parent: {cgroup.LIMITS[name][0]: value for name, value in values.items()}}
        if parent == cgroup.MOUNT:
            break
    raise FileNotFoundError(errno.ENOENT, "no control group hands its controllers on")


def _make(parent: Path, name: str, bounds: dict[str, str]) -> Path:
    _sweep(parent)
    directory = parent / name
    directory.mkdir(mode=0o755)
    try:
        for file, value in bounds.items():
            (directory / file).write_text(value)
    except OSError:
        _remove(directory)
        raise
    return directory


def _sweep(parent: Path) -> None:
    """Remove what clients left that were killed; a group with processes in it stays."""
    for directory in parent.glob(f"{_PREFIX}*-*"):
        pid = directory.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists():
            with contextlib.suppress(OSError):
                directory.rmdir()


def _remove(directory: Path) -> None:
    """Remove a group; what was killed in it takes a moment to leave it."""
    until = time.monotonic() + _EMPTYING_SECONDS
    while True:
        try:
            directory.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > until:
                return  # the next scan sweeps it
            time.sleep(0.01)
        else:
            return
