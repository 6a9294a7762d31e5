"""The filters of system calls as they are compiled, for every architecture, on any."""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import struct

import pytest

from toolkit.bundle import filters

ALLOWED, KILLED = 0x7FFF0000, 0x80000000
# Numbers of calls that programs make all the time: read, openat, execve, futex, statx.
HARMLESS = {"x86_64": (0, 257, 59, 202, 332), "aarch64": (63, 56, 221, 98, 291)}
CLONE, SOCKET, CLONE3 = {"x86_64": 56, "aarch64": 220}, {"x86_64": 41, "aarch64": 198}, 435
INET, INET6, UNIX, NETLINK, PACKET = 2, 10, 1, 16, 17
ROUTE, SOCK_DIAG = 0, 4


def _run(code: bytes, data: dict[int, int]) -> int:
    """Do what the kernel does with the program, and check that every jump stays inside."""
    steps = list(struct.iter_unpack("=HBBI", code))
    at, accumulator = 0, 0
    while True:
        operation, true, false, operand = steps[at]
        at += 1
        if operation == 0x06:
            return int(operand)
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


class Filter:
    def __init__(self, name: str, *, network: bool) -> None:
        self.code = filters.compiled(name, network=network)
        self.architecture = filters.ARCHITECTURES[name]

    def answer(
        self, number: int, first: int = 0, third: int = 0, *, second: int = 0, audit: int | None = None
    ) -> int:
        arch = self.architecture.audit if audit is None else audit
        return _run(self.code, {0: number, 4: arch, 16: first, 24: second, 32: third})


@pytest.fixture(params=[False, True], ids=["alone", "network"])
def network(request):
    return request.param


@pytest.fixture(params=sorted(filters.ARCHITECTURES))
def name(request):
    return request.param


@pytest.fixture
def made(name, network):
    return Filter(name, network=network)


def test_a_lease_is_refused_and_what_else_fcntl_does_is_not(made, name):
    fcntl = {"x86_64": 72, "aarch64": 25}[name]
    duplicate, set_flags, set_lock, set_lease = 0, 4, 6, 1024
    assert {made.answer(fcntl, second=command) for command in (duplicate, set_flags, set_lock)} == {ALLOWED}
    assert made.answer(fcntl, second=set_lease) == _refused(errno.EPERM)


def test_what_is_denied_fails_and_what_is_harmless_does_not(made, name):
    column = made.architecture.column
    for numbers in filters.DENIED.values():
        if (number := numbers[column]) is not None:
            assert made.answer(number) == _refused(errno.EPERM)
    assert {made.answer(number) for number in HARMLESS[name]} == {ALLOWED}
    assert made.answer(CLONE3) == _refused(errno.ENOSYS)
    assert 100 < len(made.code) // 8 < 4096  # BPF_MAXINSNS


def test_no_process_gets_namespaces_of_its_own(made, name):
    clone = CLONE[name]
    assert made.answer(clone, 0x11) == made.answer(clone, 0x003D0F00) == ALLOWED  # fork, a thread
    for flag in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert made.answer(clone, flag | 0x11) == _refused(errno.EPERM)


def test_sockets_are_netlink_and_with_network_those_of_the_internet(made, name, network):
    socket = SOCKET[name]
    allowed = [family for family in range(46) if made.answer(socket, family) == ALLOWED]
    assert allowed == ([INET, INET6, NETLINK] if network else [NETLINK])
    for family in (UNIX, PACKET):
        assert made.answer(socket, family) == _refused(errno.EAFNOSUPPORT)
    protocols = [protocol for protocol in range(32) if made.answer(socket, NETLINK, protocol) == ALLOWED]
    assert protocols == [ROUTE, SOCK_DIAG]


def test_a_call_of_another_architecture_kills(made):
    assert made.answer(0, audit=0x40000003) == made.answer(0, audit=0x40000028) == KILLED  # i386, arm
    if other := made.architecture.other_abi:
        assert made.answer(other + 1) == _refused(errno.EPERM)


def test_the_numbers_are_those_that_libseccomp_knows(name):
    found = ctypes.util.find_library("seccomp")
    if found is None:
        pytest.skip("needs libseccomp (apt-get install libseccomp2)")
    resolve = ctypes.CDLL(found).seccomp_syscall_resolve_name_arch
    architecture, known = filters.ARCHITECTURES[name], 0
    for call, numbers in filters.DENIED.items():
        number = resolve(ctypes.c_uint32(architecture.audit), call.encode())
        if number >= 0:
            known += 1
            assert numbers[architecture.column] == number, call
    assert known > 40


def test_a_machine_without_a_table_has_no_filter(tmp_path):
    assert filters.write(tmp_path, "riscv64") == []
    assert [path.name for path in filters.write(tmp_path, "aarch64")] == list(filters.FILES)
