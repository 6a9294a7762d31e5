"""What the engine may not ask of the kernel: a filter of system calls, seccomp(2), set before it starts.

The second wall after the capabilities: most of these need one that the engine has not, but a handle opens any
file of the file system that a mounted file is on, user namespaces give all capabilities anew, and io_uring,
bpf and the like are where the kernel's own faults are. The program is classic BPF (filter.txt of the kernel's
documentation), assembled here for the running architecture.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from typing import NamedTuple

from toolkit.agent import kernel


class Architecture(NamedTuple):
    """How the kernel names an architecture (linux/audit.h), and the number of seccomp(2) itself."""

    audit: int
    seccomp: int
    column: int
    other_abi: int | None = None
    """From this number on calls are of another ABI (x32)."""


ARCHITECTURES = {
    "x86_64": Architecture(0xC000003E, 317, 0, 0x40000000),
    "aarch64": Architecture(0xC00000B7, 277, 1),
}
DENIED: dict[str, tuple[int | None, int | None]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
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
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
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
    "setns": (308, 268),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
"""Numbers on x86_64 and aarch64, from the kernel's tables; they fail with EPERM, as without privileges."""
_CLONE, _CLONE3, _SOCKET = (56, 220), (435, 435), (41, 198)
_NAMESPACES = 0x7E020000  # every CLONE_NEW* that clone(2) takes
_FAMILIES = (1, 16)  # AF_UNIX, and AF_NETLINK, which ss and ip read

_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16  # struct seccomp_data; the lower half of a little-endian argument
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _RETURN, _EQUAL, _AT_LEAST, _ANY_BIT = 0x20, 0x06, 0x15, 0x35, 0x45
_SET_MODE_FILTER, _SPEC_ALLOW = 1, 4  # the latter spares mitigations that older kernels tie to a filter

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


def program(architecture: Architecture) -> list[Instruction]:
    """Return the filter for an architecture."""
    column, refused = architecture.column, _answer(_ERRNO | errno.EPERM)
    code = [_load(_ARCH), *_unless(_EQUAL, architecture.audit, [_answer(_KILL)]), _load(_NUMBER)]
    if architecture.other_abi is not None:
        code += _when(_AT_LEAST, architecture.other_abi, [refused])
    for numbers in DENIED.values():
        number = numbers[column]
        if number is not None:
            code += _when(_EQUAL, number, [refused])
    code += _when(_EQUAL, _CLONE3[column], [_answer(_ERRNO | errno.ENOSYS)])  # libc then takes clone(2)
    namespaces = [_load(_FIRST_ARGUMENT), *_when(_ANY_BIT, _NAMESPACES, [refused]), _answer(_ALLOW)]
    code += _when(_EQUAL, _CLONE[column], namespaces)
    family = [_load(_FIRST_ARGUMENT)]
    for number in _FAMILIES:
        family += _when(_EQUAL, number, [_answer(_ALLOW)])
    code += _when(_EQUAL, _SOCKET[column], [*family, _answer(_ERRNO | errno.EAFNOSUPPORT)])
    return [*code, _answer(_ALLOW)]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def install() -> None:
    """Filter this process's calls from now on, which needs no_new_privs; a no-op on other architectures."""
    architecture = ARCHITECTURES.get(platform.machine())
    if architecture is None:
        return
    code = program(architecture)
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
    kernel.set_seccomp_filter(
        architecture.seccomp, _SET_MODE_FILTER, _SPEC_ALLOW, _Program(len(code), packed)
    )
