"""Find the main process of a pod's container among those of the PID namespace that the auditor was put in.

A container is known by its id in the path of its processes' cgroup, cgroups(7), or by where the kubelet
keeps its termination message, `…/pods/UID/containers/NAME/…`, in their mount table, proc_pid_mountinfo(5).
A process without power over the host can forge neither.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.agent import locate
from toolkit.agent.failure import AgentError

_MESSAGE = b"/dev/termination-log"
_SCAN_INSTEAD = "scan its image with image://, or the process from the node with pid://"


@dataclass(frozen=True)
class Wanted:
    """A container as Kubernetes names it; `shared` when its PID namespace is also that of others."""

    id: str
    pod: str
    name: str
    shared: bool

    @classmethod
    def parse(cls, said: dict[str, Any]) -> Wanted:
        """Return it from a job; raises AgentError when it is none."""
        try:
            wanted = cls(**said)
        except TypeError:
            raise AgentError("a container is named by id, pod, name and shared", status=1) from None
        if not wanted.id or not wanted.pod or not wanted.name:
            raise AgentError("a container has an id, a pod and a name", status=1)
        return wanted


def find(wanted: Wanted) -> int:
    """Return the container's main process in our PID namespace: the first that was started of its own.

    Raises AgentError when it is not there: the runtime did not put us beside it, or it has ended.
    """
    if wanted.shared:
        found = [(started, pid) for pid in _pids() if (started := _started(pid, wanted)) is not None]
        if found:
            return min(found)[1]
        raise AgentError(
            f"no process of the container {wanted.name} is to be seen from beside it",
            "did it end? scan again; if it stays so, the node's runtime hides them: " + _SCAN_INSTEAD,
        )
    if _is_our_own(1):
        raise AgentError(
            "the auditor was not put into the PID namespace of its target: the container runtime of the node "
            "does not support targetContainerName",
            _SCAN_INSTEAD,
        )
    if _is_another(1, wanted):
        raise AgentError(
            f"the container {wanted.name} was restarted meanwhile",
            "scan again once it keeps running",
            transient=True,
        )
    return 1


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _started(pid: int, wanted: Wanted) -> int | None:
    """Return when a process was started, in clock ticks since boot, if it is of the container."""
    with contextlib.suppress(OSError, AgentError):
        directory = locate.open_process(pid)
        try:
            if _is_of(directory, wanted):
                return locate.start_time(directory)
        finally:
            os.close(directory)
    return None


def _is_of(directory: int, wanted: Wanted) -> bool:
    if wanted.id.encode() in locate.read_at(directory, "cgroup"):
        return True
    kept = f"/pods/{wanted.pod}/containers/{wanted.name}/".encode()
    lines = locate.read_at(directory, "mountinfo").split(b"\n")
    return any(kept in fields[3] for line in lines if (fields := line.split())[4:5] == [_MESSAGE])


def _is_another(pid: int, wanted: Wanted) -> bool:
    """Return whether a process says by its cgroup that it is of another container than the one wanted."""
    directory = locate.open_process(pid)
    try:
        found = locate.container_id(directory)
        return found is not None and found != wanted.id
    finally:
        os.close(directory)


def _is_our_own(pid: int) -> bool:
    """Return whether a process lives in our own mount namespace: nobody else's container shares that."""
    ours, theirs = (Path(f"/proc/{each}/ns/mnt").stat() for each in ("self", pid))
    return (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino)
