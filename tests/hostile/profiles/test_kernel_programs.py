"""A profile asks for what the kernel's own faults are mostly found in: bpf, io_uring, perf, userfaultfd.

CVE-2021-3490 (bpf), CVE-2022-29582 (io_uring), CVE-2013-2094 (perf); userfaultfd(2) makes such races
easy to win.
"""

from __future__ import annotations

import pytest

from tests.hostile.profiles.engine import SAID, answered, malicious, naively, plant

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ATTACK = f"""{SAID}
said("bpf", (321, 280), 0, (ctypes.c_uint * 20)(2, 4, 4, 1), 80)
said("io_uring_setup", (425, 425), 4, ctypes.create_string_buffer(120))
said("perf_event_open", (298, 241), (ctypes.c_uint64 * 16)(1 | 128 << 32), 0, -1, -1, 0)
said("userfaultfd", (323, 282), 0)
"""
CALLS = ("bpf", "io_uring_setup", "perf_event_open", "userfaultfd")


@pytest.mark.parametrize("target_exec", [False, True])
def test_they_are_refused_before_the_kernel_looks_at_them(works, container, scan, target_exec):
    target = container(prepare=plant)
    had = naively(target.pid, ATTACK)
    if len({line.partition(" ")[2] for line in had} - {"done"}) == len(CALLS):
        pytest.skip("this kernel gives none of them to root either")
    works("bpf done" in had or "io_uring_setup done" in had, "root's script gets them")
    attempt = scan(target.uri, malicious(ATTACK), allow_target_exec=target_exec)
    assert answered(attempt) == [f"{call} EPERM" for call in CALLS]
