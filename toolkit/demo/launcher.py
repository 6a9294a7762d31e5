"""Start one process the way an OCI runtime does, then end: the process lives on and its mounts die with it.

Run as `python -m toolkit.demo.launcher` with a `Spec` as JSON on standard input; prints the process's id in
the caller's PID namespace. Mounts, devices, masked and read-only paths are those of runc's default
configuration (github.com/opencontainers/runc `libcontainer/specconv/example.go`) and Docker's default masks
(github.com/moby/moby `oci/defaults.go`).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import re
import shutil
import socket
import stat
import struct
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from toolkit.agent import kernel

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND = 1, 2, 4, 8, 32, 4096  # linux/mount.h
MS_STRICTATIME = 1 << 24
SIOCSIFFLAGS, IFF_UP = 0x8914, 1  # netdevice(7)
_LAST_CAPABILITY = 63
_FAILURE = 3  # the first descriptor after the standard ones
_SAFE = MS_NOSUID | MS_NODEV | MS_NOEXEC

NAMESPACES = (
    kernel.CLONE_NEWNS
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNET
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWCGROUP
)
_FILE_SYSTEMS = (
    # point, type, flags, data, in the order in which they have to be mounted
    ("proc", "proc", _SAFE, ""),
    ("dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"),
    ("dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"),
    ("dev/shm", "tmpfs", _SAFE, "mode=1777,size=65536k"),
    ("dev/mqueue", "mqueue", _SAFE, ""),
    ("sys", "sysfs", _SAFE | MS_RDONLY, ""),
)
_DEVICES = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
}
_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
    "core": "/proc/kcore",
}
_MASKED = (
    "proc/acpi",
    "proc/asound",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/sched_debug",
    "proc/scsi",
    "proc/timer_list",
    "proc/timer_stats",
    "sys/devices/virtual/powercap",
    "sys/firmware",
)
_READ_ONLY = ("proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger")


@dataclass(frozen=True)
class Spec:
    """What to start, and on which root.

    `lower` stays as it is: what is written goes to `upper` (with `work`, which overlayfs needs beside it) and
    is seen at `merged`, mounted in the new namespace only. `files`: absolute path in the target → host file.
    """

    lower: str
    upper: str
    work: str
    merged: str
    hostname: str
    arguments: list[str]
    files: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    user: int = 0
    group: int = 0
    directory: str = "/"
    capabilities: int = 0

    def dumps(self) -> str:
        """Return the specification as the JSON that the launcher reads."""
        return json.dumps(asdict(self))


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Call mount(2); raises OSError naming the target."""
    libc = ctypes.CDLL(None, use_errno=True)
    texts = [text.encode() if text else None for text in (source, target, kind)]
    if libc.mount(*texts, ctypes.c_ulong(flags), data.encode() if data else None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount {kind or source} on {target}: {os.strerror(number)}")


def launch(spec: Spec) -> int:
    """Return the id of the started process, once it runs its program; raises OSError or RuntimeError."""
    os.umask(0)
    kernel.unshare(NAMESPACES)
    kernel.make_all_private()
    failed, failure = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        _become(spec, failure)
    os.close(failure)
    with os.fdopen(failed, "rb") as file:
        reason = file.read().decode(errors="replace")
    if reason:
        os.waitpid(child, 0)
        raise RuntimeError(reason)
    return child


def _become(spec: Spec, failure: int) -> None:
    """Turn this process into the target; on failure say why through the pipe, which exec would close."""
    try:
        _build_root(spec)
        os.chdir(spec.merged)
        kernel.pivot_root_here()
        os.chdir(spec.directory)
        socket.sethostname(spec.hostname)
        _raise_loopback()
        _drop(spec)
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.umask(0o022)
        if failure != _FAILURE:
            failure = os.dup2(failure, _FAILURE, inheritable=False)
        kernel.close_from(_FAILURE + 1)
        os.execve(spec.arguments[0], spec.arguments, spec.environment)  # noqa: S606
    except BaseException as error:
        os.write(failure, f"{error}".encode() or b"unknown")
    os._exit(1)


def _build_root(spec: Spec) -> None:
    root = Path(spec.merged)
    try:
        lower, upper, work = (_escape(path) for path in (spec.lower, spec.upper, spec.work))
        layers = f"lowerdir={lower},upperdir={upper},workdir={work}"
        mount("overlay", spec.merged, "overlay", 0, layers)
    except OSError:
        # An overlay can't have its upper layer on another overlay, as inside a container.
        shutil.copytree(spec.lower, spec.merged, symlinks=True, dirs_exist_ok=True, copy_function=_copy)
        _copy_owners(Path(spec.lower), root)
        mount(spec.merged, spec.merged, "", MS_BIND)
    for point, kind, flags, data in _FILE_SYSTEMS:
        (root / point).mkdir(mode=0o755, parents=True, exist_ok=True)
        mount(kind, str(root / point), kind, flags, data)
    _fill_dev(root / "dev")
    for path, source in spec.files.items():
        place = root / path.lstrip("/")
        _make_file(place)
        mount(source, str(place), "", MS_BIND)
    for path in _MASKED:
        _mask(root / path, root / "dev/null")
    for path in _READ_ONLY:
        if (root / path).exists():
            mount(str(root / path), str(root / path), "", MS_BIND)
            mount("", str(root / path), "", MS_BIND | MS_REMOUNT | MS_RDONLY | _SAFE)


def _escape(path: str) -> str:
    """Protect what separates options and layers, Documentation/filesystems/overlayfs.rst."""
    return re.sub(r"([\\\\,:])", r"\\\1", path)


def _copy(source: str, target: str) -> str:
    return str(shutil.copy2(source, target, follow_symlinks=False))


def _copy_owners(source: Path, target: Path) -> None:
    """Give the copy the owners, and again the modes, since chown(2) clears set-id bits."""
    for directory, directories, files in os.walk(source):
        for name in (".", *directories, *files):
            original = Path(directory, name)
            status = original.lstat()
            place = target / original.relative_to(source)
            os.lchown(place, status.st_uid, status.st_gid)
            if not stat.S_ISLNK(status.st_mode):
                place.chmod(stat.S_IMODE(status.st_mode))
                os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))


def _fill_dev(dev: Path) -> None:
    for name, (major, minor) in _DEVICES.items():
        os.mknod(dev / name, 0o666 | stat.S_IFCHR, os.makedev(major, minor))
    for name, target in _LINKS.items():
        (dev / name).symlink_to(target)


def _make_file(place: Path) -> None:
    """Make an empty regular file to mount on; a link there is replaced, in the upper layer."""
    place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if place.is_symlink():
        place.unlink()
    if not place.exists():
        place.touch(mode=0o644)


def _mask(place: Path, null: Path) -> None:
    if place.is_dir():
        mount("tmpfs", str(place), "tmpfs", _SAFE | MS_RDONLY)
    elif place.exists():
        mount(str(null), str(place), "", MS_BIND)


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def _drop(spec: Spec) -> None:
    """Keep only the capabilities asked for (none for a user other than root), never to gain any."""
    for capability in range(_LAST_CAPABILITY + 1):
        if not spec.capabilities >> capability & 1:
            with contextlib.suppress(OSError):  # EINVAL past the kernel's last one
                kernel.prctl(kernel.PR_CAPBSET_DROP, capability)
    os.setgroups([])
    os.setresgid(spec.group, spec.group, spec.group)
    os.setresuid(spec.user, spec.user, spec.user)
    kernel.set_capabilities(spec.capabilities if spec.user == 0 else 0)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)


def main() -> int:
    """Read the specification, start the process, print its id."""
    try:
        print(launch(Spec(**json.load(sys.stdin))))  # noqa: T201 # the answer to the parent
    except (OSError, RuntimeError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
