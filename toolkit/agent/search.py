"""Find the main process of a pod's container among those of the PID namespace that the auditor was put in.

A container is known by its id in the path of its processes' cgroup, cgroups(7), where that path leaves our
own: a container may make cgroups below its own, of whatever name, but none beside it. Mount tables are not
believed, since a volume or a user namespace is enough to have any path in them.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.agent import locate
from toolkit.agent.failure import AgentError

_NAMESPACE = "/1/2/3/4/5/6/7/8/9"
"""Stands for the root of our cgroup namespace, so that a path which leads out of it stays one."""
_SCAN_INSTEAD = "scan its image with image://, or the process from the node with pid://"


@dataclass(frozen=True)
class Wanted:
    """A container as Kubernetes names it; `shared` when its PID namespace is also that of others."""

    id: str
    name: str
    shared: bool

    @classmethod
    def parse(cls, said: dict[str, Any]) -> Wanted:
        """Return it from a job; raises AgentError when it is none."""
        try:
            wanted = cls(**said)
        except TypeError:
            raise AgentError("a container is named by id, name and shared", status=1) from None
        if not wanted.id or not wanted.name:
            raise AgentError("a container has an id and a name", status=1)
        return wanted


def find(wanted: Wanted) -> int:
    """Return the container's main process in our PID namespace: the first that was started of its own.

    Raises AgentError when it is not there: the runtime did not put us beside it, or it has ended.
    """
    if wanted.shared:
        found = [(started, pid) for pid in _pids() if (started := _started(pid, wanted)) is not None]
        if found:
            return _in_our_user_namespace(min(found)[1], wanted)
        raise AgentError(
            f"no process of the container {wanted.name} is to be seen from beside it",
            "did it end? scan again; if it stays so, the node's runtime hides them: " + _SCAN_INSTEAD,
        )
    if locate.shares_namespace(1, "mnt"):  # nobody else's container is in our mount namespace
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
    return _in_our_user_namespace(1, wanted)


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
    theirs = locate.read_at(directory, "cgroup").decode(errors="replace")
    return beside(Path("/proc/self/cgroup").read_text(), theirs, wanted.id)


def beside(own: str, theirs: str, identity: str) -> bool:
    """Return whether a process is of the container `identity`, by our own and its /proc/PID/cgroup.

    In every hierarchy in which its cgroup is beside ours, the first name in which they differ has to hold the
    id. What is below our own, or where nothing is separate, says nothing.
    """
    ours = dict(_paths(own))
    said = []
    for hierarchy, path in _paths(theirs):
        up, *rest = posixpath.relpath(path, ours.get(hierarchy, path)).split("/")
        if up == "..":
            said.append(identity in next((name for name in rest if name != ".."), ""))
    return bool(said) and all(said)


def _paths(text: str) -> Iterator[tuple[str, str]]:
    """Give hierarchy and path of each line; a path may lead out of our cgroup namespace by `/..`."""
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if path.startswith("/"):
            yield f"{number}:{controllers}", f"{_NAMESPACE}{path}"


def _in_our_user_namespace(pid: int, wanted: Wanted) -> int:
    """Return the number; raises AgentError for a process that is in another user namespace than its pod.

    There it can mount what it likes and make any directory its root: what would be seen is not what the
    container is made of.
    """
    if not locate.shares_namespace(pid, "user"):
        raise AgentError(
            f"the main process of {wanted.name} has left its pod's user namespace, and may have another root",
            "scan its image with image://",
        )
    return pid


def _is_another(pid: int, wanted: Wanted) -> bool:
    """Return whether a process says by its cgroup that it is of another container than the one wanted."""
    directory = locate.open_process(pid)
    try:
        found = locate.container_id(directory)
        return found is not None and found != wanted.id
    finally:
        os.close(directory)
