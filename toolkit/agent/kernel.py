"""System calls that Python 3.11 does not wrap, each with the Linux version that brought it.

Numbers from 424 on are the same on every architecture (Linux's `syscall.tbl`, unified since 5.1); the few
older ones go through libc. A call that the kernel lacks raises `MissingFeatureError` naming call and version.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from collections.abc import Iterable

from toolkit.agent.failure import AgentError

_libc = ctypes.CDLL(None, use_errno=True)

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
AT_STATX_DONT_SYNC = 0x4000
STATX_INO = 0x100
STATX_MNT_ID = 0x1000
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_CMD_CREATE = 6
RESOLVE_NO_MAGICLINKS = 0x2
RESOLVE_NO_SYMLINKS = 0x4
RESOLVE_IN_ROOT = 0x10

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_GET_SECCOMP = 21
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

_SINCE = {
    "open_tree": (428, "5.2"),
    "move_mount": (429, "5.2"),
    "fsopen": (430, "5.2"),
    "fsconfig": (431, "5.2"),
    "fsmount": (432, "5.2"),
    "pidfd_open": (434, "5.3"),
    "close_range": (436, "5.9"),
    "openat2": (437, "5.6"),
    "mount_setattr": (442, "5.12"),
}
_LANDLOCK = {"landlock_create_ruleset": 444, "landlock_add_rule": 445, "landlock_restrict_self": 446}
_FILTER_STEP = 8  # sizeof(struct sock_filter)
# pivot_root is older than the unified numbers and has no wrapper in libc (pivot_root(2)).
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217, "armv7l": 218}


class MissingFeatureError(AgentError):
    """The running kernel lacks a system call that entering a target needs."""

    def __init__(self, call: str, version: str) -> None:
        """Name the call and the Linux version that brought it."""
        super().__init__(
            f"this kernel ({os.uname().release}) has no {call}(2), which came with Linux {version}",
            "use a kernel of 5.12 or newer (all calls that are needed)",
        )


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _call(name: str, *arguments: object) -> int:
    number, version = _SINCE[name]
    result = int(_libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0 and ctypes.get_errno() == errno.ENOSYS:
        raise MissingFeatureError(name, version)
    return _check(result, name)


def pidfd_open(pid: int) -> int:
    """Return a descriptor that stands for this very process, never for a later one of the same number."""
    return _call("pidfd_open", ctypes.c_int(pid), ctypes.c_uint(0))


def open_tree(directory: int, path: str, flags: int) -> int:
    """Return a descriptor of a (cloned) mount tree, open_tree(2)."""
    return _call(
        "open_tree", ctypes.c_int(directory), os.fsencode(path), ctypes.c_uint(flags | OPEN_TREE_CLOEXEC)
    )


def clone_tree(path: str, directory: int = AT_FDCWD, *, recursive: bool = False) -> int:
    """Return a detached copy of the mounts at `path`; with "" of a descriptor's, asking no file system."""
    flags = OPEN_TREE_CLONE | (AT_RECURSIVE if recursive else 0) | (0 if path else AT_EMPTY_PATH)
    return open_tree(directory, path, flags)


def move_mount(source: int, target: int) -> None:
    """Attach a detached mount (descriptor) on a place (descriptor), following no path at all."""
    flags = ctypes.c_uint(MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)
    _call("move_mount", ctypes.c_int(source), b"", ctypes.c_int(target), b"", flags)


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def mount_setattr(mount: int, attributes: int, *, recursive: bool = False) -> None:
    """Set mount attributes on a descriptor's mount and make it private, mount_setattr(2)."""
    attr = _MountAttr(attributes, 0, MS_PRIVATE, 0)
    flags = ctypes.c_uint(AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0))
    size = ctypes.c_size_t(ctypes.sizeof(attr))
    _call("mount_setattr", ctypes.c_int(mount), b"", flags, ctypes.byref(attr), size)


def new_filesystem(kind: str, options: dict[str, str], attributes: int) -> int:
    """Return a detached mount of a new file system; an option with an empty value is a flag."""
    context = _call("fsopen", kind.encode(), ctypes.c_uint(1))
    try:
        for key, value in options.items():
            command = FSCONFIG_SET_STRING if value else FSCONFIG_SET_FLAG
            text = os.fsencode(value) if value else None
            _call(
                "fsconfig", ctypes.c_int(context), ctypes.c_uint(command), key.encode(), text, ctypes.c_int(0)
            )
        _call(
            "fsconfig", ctypes.c_int(context), ctypes.c_uint(FSCONFIG_CMD_CREATE), None, None, ctypes.c_int(0)
        )
        return _call("fsmount", ctypes.c_int(context), ctypes.c_uint(1), ctypes.c_uint(attributes))
    finally:
        os.close(context)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(root: int, path: str, flags: int) -> int:
    """Open `path` inside `root` without following any symbolic or magic link, openat2(2).

    The one way a privileged process may follow a path of the target (CVE-2018-15664 was the other one).
    """
    how = _OpenHow(flags | os.O_CLOEXEC, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS)
    size = ctypes.c_size_t(ctypes.sizeof(how))
    return _call("openat2", ctypes.c_int(root), os.fsencode(path), ctypes.byref(how), size)


class _Statx(ctypes.Structure):
    _fields_ = (
        ("before", ctypes.c_uint8 * 32),
        ("inode", ctypes.c_uint64),
        ("between", ctypes.c_uint8 * 96),
        ("device", ctypes.c_uint32 * 2),
        ("mount", ctypes.c_uint64),
        ("after", ctypes.c_uint8 * 104),
    )


def place_of(fd: int) -> tuple[int, int, int, int]:
    """Return mount id, device and inode of a descriptor; the file system is not asked, statx(2)."""
    found = _Statx()
    flags, mask = ctypes.c_int(AT_EMPTY_PATH | AT_STATX_DONT_SYNC), ctypes.c_uint(STATX_INO | STATX_MNT_ID)
    _check(_libc.statx(ctypes.c_int(fd), b"", flags, mask, ctypes.byref(found)), "statx")
    return found.mount, found.device[0], found.device[1], found.inode


def close_from(lowest: int) -> None:
    """Close every descriptor from `lowest` on, close_range(2)."""
    _close_range(lowest, 0xFFFFFFFF)


def close_all_but(kept: Iterable[int]) -> None:
    """Close every descriptor that is not named."""
    lowest = 0
    for fd in sorted(set(kept)):
        if fd > lowest:
            _close_range(lowest, fd - 1)
        lowest = fd + 1
    close_from(lowest)


def _close_range(first: int, last: int) -> None:
    _call("close_range", ctypes.c_uint(first), ctypes.c_uint(last), ctypes.c_uint(0))


def unshare(flags: int) -> None:
    """Leave the namespaces named by CLONE_NEW* flags for new ones, unshare(2)."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def setns(fd: int, kind: int) -> None:
    """Join the namespace of a descriptor, setns(2)."""
    _check(_libc.setns(ctypes.c_int(fd), ctypes.c_int(kind)), "setns")


def make_all_private() -> None:
    """Stop mounts of this mount namespace from propagating anywhere, mount_namespaces(7)."""
    _check(_libc.mount(None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None), "mount --make-rprivate")


def unmount(path: str, flags: int) -> None:
    """Unmount a path, umount2(2)."""
    _check(_libc.umount2(os.fsencode(path), ctypes.c_int(flags)), "umount2")


def pivot_root_here() -> None:
    """Make the current directory the root and let the old root go, pivot_root(2), section NOTES."""
    number = _PIVOT_ROOT.get(platform.machine())
    if number is None:
        raise AgentError(f"the number of pivot_root(2) on {platform.machine()} is not known", "report this")
    _check(int(_libc.syscall(ctypes.c_long(number), b".", b".")), "pivot_root")
    unmount(".", MNT_DETACH)
    os.chdir("/")


def move_root(root: int) -> None:
    """Mount a tree (descriptor of its attached root) over / and make it our root, as switch_root(8) does."""
    os.fchdir(root)
    move_mount(root, os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    os.chroot(".")
    os.chdir("/")


def prctl(option: int, argument: int = 0, extra: int = 0) -> int:
    """Call prctl(2) with up to two arguments."""
    zero = ctypes.c_ulong(0)
    result = _libc.prctl(ctypes.c_int(option), ctypes.c_ulong(argument), ctypes.c_ulong(extra), zero, zero)
    return _check(int(result), f"prctl {option}")


def check_seccomp() -> None:
    """Raise OSError where the kernel has no seccomp(2)."""
    prctl(PR_GET_SECCOMP)


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def set_seccomp_filter(code: bytes) -> None:
    """Filter this process's system calls by an array of struct sock_filter, PR_SET_SECCOMP(2const)."""
    program = _FilterProgram(len(code) // _FILTER_STEP, code)
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(program))


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("place", ctypes.c_int32))


def landlock_version() -> int:
    """Return the version of Landlock's interface, landlock_create_ruleset(2); raises OSError for none."""
    return _landlock("landlock_create_ruleset", None, ctypes.c_size_t(0), ctypes.c_uint(1))


def landlock_ruleset(files: int, network: int, scoped: int) -> int:
    """Return a ruleset that forbids these rights but where a rule allows them, landlock_create_ruleset(2)."""
    ruleset = _Ruleset(files, network, scoped)
    size = ctypes.c_size_t(ctypes.sizeof(ruleset))
    return _landlock("landlock_create_ruleset", ctypes.byref(ruleset), size, ctypes.c_uint(0))


def landlock_allow(ruleset: int, place: int, rights: int) -> None:
    """Allow rights at a file, or beneath a directory (descriptor), landlock_add_rule(2)."""
    rule = _PathBeneath(rights, place)
    kind = ctypes.c_uint(1)  # LANDLOCK_RULE_PATH_BENEATH
    _landlock("landlock_add_rule", ctypes.c_int(ruleset), kind, ctypes.byref(rule), ctypes.c_uint(0))


def landlock_restrict(ruleset: int) -> None:
    """Restrict this process, and all that it starts, by a ruleset, landlock_restrict_self(2)."""
    _landlock("landlock_restrict_self", ctypes.c_int(ruleset), ctypes.c_uint(0))


def _landlock(name: str, *arguments: object) -> int:
    """Call one of Landlock's system calls, which a kernel may lack without any harm to the rest."""
    return _check(int(_libc.syscall(ctypes.c_long(_LANDLOCK[name]), *arguments)), name)


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapData(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def set_capabilities(mask: int) -> None:
    """Make `mask` the permitted and effective set and empty the inheritable one, capset(2) version 3."""
    header = _CapHeader(0x20080522, 0)
    data = (_CapData * 2)(
        _CapData(mask & 0xFFFFFFFF, mask & 0xFFFFFFFF, 0), _CapData(mask >> 32, mask >> 32, 0)
    )
    _check(_libc.capset(ctypes.byref(header), ctypes.byref(data)), "capset")
