"""What the engine may not ask of the kernel: filters of system calls, compiled when a bundle is built.

The second wall after the capabilities: most of these need one that the engine has not, but a handle opens any
file of the file system that a mounted file is on, user namespaces give all capabilities anew, and io_uring,
bpf and the like are where the kernel's own faults are. A filter is classic BPF (filter.txt of the kernel's
documentation) over struct seccomp_data, seccomp(2): it looks at the architecture and the call's number, and
at the arguments of three calls. It goes, in this order:

1. a call of another architecture's table (as i386 programs make) kills, since its numbers mean other calls;
2. on x86_64 a call of the x32 table fails with EPERM;
3. what is in `DENIED` fails with EPERM, as it would without privileges;
4. clone3(2), whose flags are in memory where no filter can look, fails with ENOSYS: libc then takes clone(2);
5. clone(2) fails with EPERM when a flag asks for a new namespace;
6. fcntl(2) fails with EPERM when it asks for a lease;
7. socket(2) fails with EAFNOSUPPORT but for netlink's ROUTE and SOCK_DIAG, which `ip` and `ss` read; the
   second filter also has IPv4 and IPv6. AF_UNIX is in neither: the target's file system may hold sockets of
   daemons that do as root is told;
8. everything else is allowed.
"""

from __future__ import annotations

import errno
import struct
from pathlib import Path
from typing import NamedTuple

PLACE = "lib/barescan"
FILES = {"system-calls.bpf": False, "system-calls-network.bpf": True}
"""The filters in a bundle below `PLACE`, and whether they let the engine speak to the network."""


class Architecture(NamedTuple):
    """How the kernel names an architecture (linux/audit.h), and its column in the tables here."""

    audit: int
    column: int
    other_abi: int | None = None
    """From this number on calls are of another ABI (x32)."""


ARCHITECTURES = {
    "x86_64": Architecture(0xC000003E, 0, 0x40000000),
    "aarch64": Architecture(0xC00000B7, 1),
}
DENIED: dict[str, tuple[int | None, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "finit_module": (313, 273),
    "flock": (73, 32),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "msgctl": (71, 187),
    "msgget": (68, 186),
    "msgrcv": (70, 188),
    "msgsnd": (69, 189),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "semctl": (66, 191),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "shmget": (29, 194),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
"""Numbers on x86_64 and aarch64, from the kernel's tables (`syscall.tbl`).

memfd_create is here because what is in such a file could be started although it is on no mount; System V's
and POSIX's means of communication because they belong to the target's IPC namespace, which the scan joins,
and outlive it, sysvipc(7), mq_overview(7); flock because a file that is open for reading only can be locked
with it against the target.
"""
_CLONE, _CLONE3, _FCNTL, _SOCKET = (56, 220), (435, 435), (72, 25), (41, 198)
_SET_LEASE = 1024  # F_SETLEASE in linux/fcntl.h: has the target wait when it opens a file of its own
_NAMESPACES = 0x7E020000  # every CLONE_NEW* that clone(2) takes
_INTERNET = (2, 10)  # AF_INET, AF_INET6
_NETLINK, _PROTOCOLS = 16, (0, 4)  # AF_NETLINK; NETLINK_ROUTE, NETLINK_SOCK_DIAG

# struct seccomp_data; of an argument the lower half, first as both architectures are little-endian
_NUMBER, _ARCH, _FIRST_ARGUMENT, _SECOND_ARGUMENT, _THIRD_ARGUMENT = 0, 4, 16, 24, 32
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _RETURN, _EQUAL, _AT_LEAST, _ANY_BIT = 0x20, 0x06, 0x15, 0x35, 0x45

Instruction = tuple[int, int, int, int]
"""Code, instructions to skip when true, when false, operand: struct sock_filter."""


def _load(offset: int) -> Instruction:
    return (_LOAD, 0, 0, offset)


def _answer(action: int) -> Instruction:
    return (_RETURN, 0, 0, action)


def _unless(test: int, operand: int, then: list[Instruction]) -> list[Instruction]:
    """Do `then` unless the test holds."""
    return [(test, len(then), 0, operand), *then]


def _when(test: int, operand: int, then: list[Instruction]) -> list[Instruction]:
    """Do `then` when the test holds."""
    return [(test, 0, len(then), operand), *then]


def program(architecture: Architecture, *, network: bool) -> list[Instruction]:
    """Return the filter for an architecture, with or without IPv4 and IPv6."""
    column, refused = architecture.column, _answer(_ERRNO | errno.EPERM)
    code = [_load(_ARCH), *_unless(_EQUAL, architecture.audit, [_answer(_KILL)]), _load(_NUMBER)]
    if architecture.other_abi is not None:
        code += _when(_AT_LEAST, architecture.other_abi, [refused])
    for numbers in DENIED.values():
        number = numbers[column]
        if number is not None:
            code += _when(_EQUAL, number, [refused])
    code += _when(_EQUAL, _CLONE3[column], [_answer(_ERRNO | errno.ENOSYS)])
    namespaces = [_load(_FIRST_ARGUMENT), *_when(_ANY_BIT, _NAMESPACES, [refused]), _answer(_ALLOW)]
    code += _when(_EQUAL, _CLONE[column], namespaces)
    lease = [_load(_SECOND_ARGUMENT), *_when(_EQUAL, _SET_LEASE, [refused]), _answer(_ALLOW)]
    code += _when(_EQUAL, _FCNTL[column], lease)
    code += _when(_EQUAL, _SOCKET[column], _socket(_INTERNET if network else ()))
    return [*code, _answer(_ALLOW)]


def _socket(families: tuple[int, ...]) -> list[Instruction]:
    """Judge socket(2): by its family, and for netlink by its protocol."""
    protocols = [_load(_THIRD_ARGUMENT), *_any_of(_PROTOCOLS), _answer(_ERRNO | errno.EAFNOSUPPORT)]
    return [
        _load(_FIRST_ARGUMENT),
        *_any_of(families),
        *_unless(_EQUAL, _NETLINK, protocols[-1:]),
        *protocols,
    ]


def _any_of(values: tuple[int, ...]) -> list[Instruction]:
    return [step for value in values for step in _when(_EQUAL, value, [_answer(_ALLOW)])]


def compiled(machine: str, *, network: bool) -> bytes:
    """Return the filter as the kernel takes it: an array of struct sock_filter, seccomp(2).

    Raises KeyError for an architecture that has none.
    """
    code = program(ARCHITECTURES[machine], network=network)
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def write(output: Path, machine: str) -> list[Path]:
    """Write the filters for a machine into a bundle and return their files; none where it has none."""
    if machine not in ARCHITECTURES:
        return []
    place = output / PLACE
    place.mkdir(parents=True, exist_ok=True)
    for name, network in FILES.items():
        (place / name).write_bytes(compiled(machine, network=network))
    return [place / name for name in FILES]
