"""What is recorded of the target's processes before the privileges go: afterwards `/proc/N/fd` is closed.

Read from our own /proc, never the target's, which may be anything.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.agent import confine, locate
from toolkit.agent.failure import AgentError

MAX_LINKS = 20_000  # each takes about a kilobyte of the kernel's memory
MAX_DESCRIPTORS = 200_000  # half a second
_BETWEEN_LOOKS = 1000  # descriptors between two looks at the clock
_INITIAL_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO, linux/proc_ns.h
_PRYING = {"SYS_PTRACE": confine.CAP_SYS_PTRACE, "DAC_READ_SEARCH": confine.CAP_DAC_READ_SEARCH}


@dataclass
class Record:
    """The sockets of the target's processes, as links by path: `proc/1/fd/3` → `socket:[123]`."""

    deadline: float
    links: dict[str, str] = field(default_factory=dict)
    complete: bool = True
    """False when something could not be looked at: who holds a socket may be missing."""
    looked: int = 0

    def full(self) -> bool:
        """Say whether a limit is reached; raises AgentError when the time is up."""
        if self.looked % _BETWEEN_LOOKS == 0 and time.monotonic() > self.deadline:
            raise AgentError("the scan did not finish in time", "allow more with --timeout")
        return len(self.links) >= MAX_LINKS or self.looked >= MAX_DESCRIPTORS


def sockets(target: locate.Target, deadline: float, *, trusted: bool) -> Record:
    """Record the sockets of the processes in the target's own PID namespace, numbered as its /proc does.

    Unless the target is trusted, raises AgentError when one of them could look through the engine.
    """
    record = Record(deadline)
    own = {name: str(Path(f"/proc/self/ns/{name}").readlink()) for name in ("mnt", "user")}
    for directory in _processes(target):
        try:
            status = locate.status(directory)
            if not trusted and _is_the_targets(directory, target, own):
                _check_capabilities(status)
            _add(record, directory, locate.number_inside(status))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        except OSError:
            record.complete = False
    return record


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
            "drop it from the target, scan its files with rootfs://, or use --trust-target",
        )


def _add(record: Record, directory: int, number: int) -> None:
    descriptors = os.open("fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        with os.scandir(descriptors) as entries:
            for entry in entries:
                record.looked += 1
                if record.full():
                    record.complete = False
                    return
                with contextlib.suppress(FileNotFoundError):
                    link = os.readlink(entry.name, dir_fd=descriptors)
                    if link.startswith("socket:["):
                        record.links[f"proc/{number}/fd/{entry.name}"] = link
    finally:
        os.close(descriptors)
