"""Control groups of this host for targets that take more than they should, always with a small bound."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_MOUNT = Path("/sys/fs/cgroup")
_FILES = {"pids": ("pids.max", "pids.max"), "memory": ("memory.max", "memory.limit_in_bytes")}
_NO_SWAP = {"memory.swap.max": "0", "memory.memsw.limit_in_bytes": "{}"}


@contextlib.contextmanager
def bounded(controller: str, bound: int) -> Iterator[Path]:
    """Make a control group that bounds, of version 2 or 1, cgroups(7); what was in it has to end before."""
    newer, older = _FILES[controller]
    older_place = _MOUNT / controller
    group = (older_place if older_place.is_dir() else _MOUNT) / f"barescan-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error.strerror}")
    try:
        limit = group / (older if older_place.is_dir() else newer)
        if not limit.exists():
            pytest.skip(f"the controller {controller} is not given to groups below {_MOUNT}")
        limit.write_text(str(bound))
        for name, text in _NO_SWAP.items():
            if (group / name).exists():
                (group / name).write_text(text.format(bound))
        yield group
    finally:
        _remove(group)


def join(group: Path, pid: int) -> None:
    """Move a process into a group."""
    (group / "cgroup.procs").write_text(str(pid))


def entering(group: Path) -> list[str]:
    """Return what is put before a command that is to run in a group."""
    return ["sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh"]


def _remove(group: Path) -> None:
    until = time.monotonic() + 10
    while True:
        try:
            group.rmdir()
        except OSError:
            assert time.monotonic() < until, f"processes are left in {group}"
            time.sleep(0.05)
        else:
            return
