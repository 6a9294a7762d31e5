"""System calls by which the engine, or what misleads it, would get out of its confinement."""

from __future__ import annotations

import errno

import pytest

from tests.hostile.conftest import BIN
from toolkit.agent import seccomp

ALLOWED, KILLED = 0x7FFF0000, 0x80000000
# Numbers of calls that programs make all the time: read, openat, execve, futex, statx.
HARMLESS = {"x86_64": (0, 257, 59, 202, 332), "aarch64": (63, 56, 221, 98, 291)}


def _run(code: list[seccomp.Instruction], data: dict[int, int]) -> int:
    """Do what the kernel does with the program, and check that every jump stays inside."""
    at, accumulator = 0, 0
    while True:
        operation, true, false, operand = code[at]
        at += 1
        if operation == 0x06:
            return operand
        if operation == 0x20:
            accumulator = data[operand]
            continue
        tests = {
            0x15: accumulator == operand,
            0x35: accumulator >= operand,
            0x45: bool(accumulator & operand),
        }
        at += true if tests[operation] else false


def _refused(number: int) -> int:
    return 0x00050000 | number


@pytest.mark.parametrize("name", sorted(seccomp.ARCHITECTURES))
def test_the_filter_answers_as_described(name):
    architecture = seccomp.ARCHITECTURES[name]
    code, column = seccomp.program(architecture), architecture.column

    def answer(number: int, argument: int = 0, audit: int = architecture.audit) -> int:
        return _run(code, {0: number, 4: audit, 16: argument})

    for numbers in seccomp.DENIED.values():
        number = numbers[column]
        if number is not None:
            assert answer(number) == _refused(errno.EPERM)
    assert {answer(number) for number in HARMLESS[name]} == {ALLOWED}
    assert answer(435) == _refused(errno.ENOSYS)
    clone, socket = (56, 220)[column], (41, 198)[column]
    assert answer(clone, 0x11) == answer(clone, 0x003D0F00) == ALLOWED  # fork, a thread
    for flag in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert answer(clone, flag | 0x11) == _refused(errno.EPERM)
    families = {family: answer(socket, family) for family in range(46)}
    assert [family for family, said in families.items() if said == ALLOWED] == [1, 16]
    assert families[2] == families[10] == families[17] == _refused(errno.EAFNOSUPPORT)
    assert answer(0, audit=0x40000003) == answer(0, audit=0x40000028) == KILLED  # i386, arm
    assert len({len(instruction) for instruction in code}) == 1
    assert len(code) < 4096
    if architecture.other_abi:
        assert answer(architecture.other_abi + 1) == _refused(errno.EPERM)


CALLS = """
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def said(call, *arguments):
    ctypes.set_errno(0)
    print(call, ctypes.get_errno() if getattr(libc, call)(*arguments) < 0 else "done")
said("unshare", 0x10000000)
said("setns", 0, 0)
said("mount", b"x", b"/", b"tmpfs", 0, None)
said("ptrace", 0, 0, 0, 0)
said("umount2", b"/proc", 2)
for family in (socket.AF_UNIX, socket.AF_NETLINK, socket.AF_INET, socket.AF_INET6, socket.AF_PACKET):
    try:
        socket.socket(family, socket.SOCK_RAW if family == socket.AF_NETLINK else socket.SOCK_DGRAM).close()
        print(family.name, "done")
    except OSError as error:
        print(family.name, error.errno)
if os.fork() == 0:
    os._exit(0)
print("fork", os.wait()[1])
"""


@pytest.mark.root
@pytest.mark.bundle
def test_the_engine_is_refused_what_it_has_no_use_for(container, scan):
    attempt = scan(
        container().uri, f"{BIN}/python3 -I -S -c '{CALLS}'; {BIN}/grep Seccomp: /proc/self/status"
    )
    assert attempt.lines == [
        *(f"{call} {errno.EPERM}" for call in ("unshare", "setns", "mount", "ptrace", "umount2")),
        "AF_UNIX done",
        "AF_NETLINK done",
        *(f"{family} {errno.EAFNOSUPPORT}" for family in ("AF_INET", "AF_INET6", "AF_PACKET")),
        "fork 0",
        "Seccomp:\t2",
    ], attempt.outcome.stderr
