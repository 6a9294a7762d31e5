"""What is recorded of the target's processes before the privileges go: afterwards `/proc/N/fd` is closed.

Read from our own /proc, never the target's, which may be anything.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from toolkit.agent import confine, locate
from toolkit.agent.failure import AgentError

MAX_PROCESSES = 2000
MAX_LINKS = 20_000
_INITIAL_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO, linux/proc_ns.h
_PRYING = {"SYS_PTRACE": confine.CAP_SYS_PTRACE, "DAC_READ_SEARCH": confine.CAP_DAC_READ_SEARCH}


def sockets(target: locate.Target, *, trusted: bool) -> dict[str, str]:
    """Return links by path, such as `proc/1/fd/3` → `socket:[123]`, numbered as the target's /proc does.

    Only processes of the target's own PID namespace are recorded; what has ended meanwhile is left out.
    Unless the target is trusted, raises AgentError when one of them could look through the engine.
    """
    links: dict[str, str] = {}
    own = {name: str(Path(f"/proc/self/ns/{name}").readlink()) for name in ("mnt", "user")}
    for directory in _processes(target):
        if len(links) > MAX_LINKS:
            break
        with contextlib.suppress(OSError):
            status = locate.status(directory)
            if not trusted and _is_the_targets(directory, target, own):
                _check_capabilities(status)
            links |= _of_process(directory, locate.number_inside(directory))
    return links


def _processes(target: locate.Target) -> Iterator[int]:
    """Give a descriptor of `/proc/N` for each process of the target's PID namespace, closed afterwards."""
    namespace = locate.namespace_name(target.directory, "pid")
    with os.scandir("/proc") as entries:
        names = sorted((entry.name for entry in entries if entry.name.isdigit()), key=int)
    for name in names:
        try:
            directory = os.open(f"/proc/{name}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue
        with contextlib.suppress(OSError):
            if locate.namespace_name(directory, "pid") == namespace:
                yield directory
        os.close(directory)


def _is_the_targets(directory: int, target: locate.Target, own: dict[str, str]) -> bool:
    """Say whether a process is of the target and in our user namespace.

    Where the target sees the host's processes, only those in its own mount namespace are taken for its own.
    """
    mounts = locate.namespace_name(directory, "mnt")
    if mounts == own["mnt"] or locate.namespace_name(directory, "user") != own["user"]:
        return False
    if locate.namespace_name(directory, "pid") == _INITIAL_PID_NAMESPACE:
        return mounts == locate.namespace_name(target.directory, "mnt")
    return True


def _check_capabilities(status: dict[str, str]) -> None:
    """Raise AgentError for a process that has, or may gain, what lets it look through the engine, ptrace(2).

    SYS_PTRACE does for any process; DAC_READ_SEARCH, since the engine has no capability that goes beyond it.
    """
    held = int(status["CapPrm"], 16)
    if status.get("NoNewPrivs") != "1":
        held |= int(status["CapBnd"], 16)
    found = [name for name, number in _PRYING.items() if held >> number & 1]
    if found:
        raise AgentError(
            f"a process of the target has or may gain the capability {', '.join(found)}, "
            "with which it could forge the result",
            "drop it from the target, scan its files with rootfs://, or trust the target explicitly",
        )


def _of_process(directory: int, number: int) -> dict[str, str]:
    found = {}
    descriptors = os.open("fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        with os.scandir(descriptors) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    link = os.readlink(entry.name, dir_fd=descriptors)
                    if link.startswith("socket:["):
                        found[f"proc/{number}/fd/{entry.name}"] = link
    finally:
        os.close(descriptors)
    return found
