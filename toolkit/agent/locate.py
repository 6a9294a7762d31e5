"""Find the target process and pin it, so that every later step speaks of this process and no other.

The directory descriptor of `/proc/PID` stays bound to the process it was opened for (proc(5)): reads through
it fail once the process is gone, instead of answering for a new one with the same number (CVE-2022-33915).
"""

from __future__ import annotations

import contextlib
import os
import re
import select
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from toolkit.agent import kernel
from toolkit.agent.failure import AgentError

PF_KTHREAD = 0x00200000  # linux/sched.h
NAMESPACES = {
    "net": kernel.CLONE_NEWNET,
    "ipc": kernel.CLONE_NEWIPC,
    "uts": kernel.CLONE_NEWUTS,
    "cgroup": kernel.CLONE_NEWCGROUP,
    "pid": kernel.CLONE_NEWPID,
    "user": kernel.CLONE_NEWUSER,
}
_CONTAINER_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_LARGEST = 16 << 20
_ATTEMPTS = 20
_GONE = "process {pid} has exited"
_GONE_REMEDY = "name a process that keeps running, or scan its files with rootfs://"


@dataclass
class Target:
    """A pinned process: descriptors of it, and what was read of it before it was entered."""

    pid: int
    pidfd: int
    directory: int
    root: int
    start_time: int
    mounts: bytes
    mountinfo: bytes

    def alive(self) -> bool:
        """Say whether this very process still runs (a pidfd becomes readable when it ends, pidfd_open(2))."""
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return not poll.poll(0)


def pin(pid: int) -> Target:
    """Return the pinned process; raises AgentError naming what is wrong with it."""
    directory = open_process(pid)
    try:
        pidfd = kernel.pidfd_open(pid)
        state, flags, start_time = _stat(directory)
        if flags & PF_KTHREAD:
            raise AgentError(
                f"process {pid} is a kernel thread, which has no root of its own", "name another process"
            )
        if state in {"Z", "X"}:
            raise AgentError(_GONE.format(pid=pid), _GONE_REMEDY)
        root = os.open("root", os.O_PATH | os.O_CLOEXEC, dir_fd=directory)
        mounts, mountinfo = read_at(directory, "mounts"), read_at(directory, "mountinfo")
    except PermissionError as error:
        raise AgentError(
            f"process {pid} may not be looked into: {error.strerror}",
            "run as root with SYS_PTRACE, from the host or a container that shares its PID namespace",
        ) from None
    except (FileNotFoundError, ProcessLookupError):
        raise AgentError(_GONE.format(pid=pid), _GONE_REMEDY) from None
    return Target(pid, pidfd, directory, root, start_time, mounts, mountinfo)


def open_process(pid: int) -> int:
    """Return the directory of a process, through which no other one is ever read; raises AgentError."""
    try:
        return os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise AgentError(f"there is no process {pid}", "look it up with ps, on this host") from None


def read_at(directory: int, name: str) -> bytes:
    """Return a file of `/proc/PID`; raises AgentError for one that only an attack could make so large."""
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    with os.fdopen(fd, "rb") as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise AgentError(f"the target's {name} is larger than {_LARGEST >> 20} MiB", "scan its files instead")
    return content


@contextlib.contextmanager
def watch_mounts(target: Target) -> Iterator[Callable[[], bool]]:
    """Give a function that says whether the target's mounts are what they were at the start.

    The kernel counts the changes, proc_pid_mounts(5): a table that is the same again is no proof, since
    the numbers of mounts are used again.
    """
    fd = os.open("mountinfo", os.O_RDONLY | os.O_CLOEXEC, dir_fd=target.directory)
    poll = select.poll()
    poll.register(fd, select.POLLPRI)
    try:
        yield lambda: not poll.poll(0)
    finally:
        os.close(fd)


def _stat(directory: int) -> tuple[str, int, int]:
    """Return state, flags and start time in clock ticks since boot, proc_pid_stat(5) fields 3, 9 and 22."""
    fields = _fields_of_stat(directory)
    return fields[0].decode(), int(fields[6]), int(fields[19])


def _fields_of_stat(directory: int) -> list[bytes]:
    """Return the fields of proc_pid_stat(5) from the third on, behind the name, which holds anything."""
    return read_at(directory, "stat").rpartition(b")")[2].split()


def status(directory: int) -> dict[str, str]:
    """Return the fields of proc_pid_status(5) by name.

    Only a newline ends a line: the process chooses its name, and other separators in it are not escaped.
    """
    lines = read_at(directory, "status").split(b"\n")
    pairs = (line.partition(b":") for line in lines)
    return {os.fsdecode(key): value.strip().decode(errors="replace") for key, _, value in pairs}


def identity(target: Target) -> dict[str, object]:
    """Return what tells a reader which process this was; strings come from the target and are hostile.

    All of it is of one program: the user of one and the file of another must not be taken for a third
    (CVE-2022-33915). Raises AgentError for a process that becomes another program each time.
    """
    for _ in range(_ATTEMPTS):
        program = _program(target.directory)
        about = _describe(target)
        if b"0" not in program and _program(target.directory) == program:  # which are 0 until it has begun
            return about
    raise AgentError(
        f"process {target.pid} becomes another program all the time",
        "scan again once it has settled",
        transient=True,
    )


def _program(directory: int) -> list[bytes]:
    """Return what differs between two programs of a process: where the kernel, which chooses the addresses
    at random, has put code and stack, proc_pid_stat(5) fields 26 to 28 and 48 to 51.
    """
    fields = _fields_of_stat(directory)
    return fields[23:26] + fields[45:49]


def _describe(target: Target) -> dict[str, object]:
    about: dict[str, object] = {"pid": target.pid, "start_time_ticks": target.start_time}
    said = status(target.directory)
    about |= {key.lower(): int(said[key].split()[1]) for key in ("Uid", "Gid")}
    names = ("Name", "NSpid", "CapEff", "Seccomp", "NoNewPrivs")
    about |= {key: said[key][:100] for key in names if key in said}
    try:
        about["executable"] = printable(os.readlink("exe", dir_fd=target.directory))[:4096]
    except OSError:
        about["executable"] = None
    about["container_id"] = container_id(target.directory)
    return about


def container_id(directory: int) -> str | None:
    """Return the id of a process's container, if the path of its cgroup has one."""
    found = _CONTAINER_ID.search(read_at(directory, "cgroup").decode(errors="replace"))
    return found.group() if found else None


def start_time(directory: int) -> int:
    """Return when a process was started, in clock ticks since boot."""
    return _stat(directory)[2]


def id_ranges(directory: int, name: str) -> list[tuple[int, int, int]]:
    """Return a process's uid_map or gid_map: first inside, first here, how many; user_namespaces(7)."""
    numbers = [int(number) for number in read_at(directory, name).split()]
    return list(zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True))


def root_here(target: Target) -> dict[str, str]:
    """Return which user and group of ours are root in the target's user namespace; 0 where it has no root."""
    found = {}
    for name in ("uid", "gid"):
        ranges = id_ranges(target.directory, f"{name}_map")
        found[name] = str(next((here for inside, here, _ in ranges if inside == 0), 0))
    return found


def printable(path: str) -> str:
    """Return a path as text that can be encoded, whatever bytes the target put in it."""
    return os.fsencode(path).decode(errors="replace")


def number_inside(said: dict[str, str]) -> int:
    """Return a process's number in its own PID namespace, from its status."""
    return int(said["NSpid"].split()[-1])


def foreign_namespaces(target: Target) -> dict[str, int]:
    """Return descriptors of the target's namespaces that are not our own, by name."""
    found = {}
    for name in NAMESPACES:
        fd = os.open(f"ns/{name}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=target.directory)
        ours, theirs = Path(f"/proc/self/ns/{name}").stat(), os.fstat(fd)
        if (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino):
            os.close(fd)
        else:
            found[name] = fd
    return found


def shares_namespace(pid: int, name: str) -> bool:
    """Return whether a process is in our own namespace of a kind, namespaces(7); raises OSError."""
    ours, theirs = (Path(f"/proc/{each}/ns/{name}").stat() for each in ("self", pid))
    return (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino)


def namespace_name(directory: int, name: str) -> str:
    """Return a namespace's name as `readlink /proc/PID/ns/…` shows it, namespaces(7)."""
    return os.readlink(f"ns/{name}", dir_fd=directory)
