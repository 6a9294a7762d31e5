"""Give up power: capabilities of every set, privileges to come, memory inspection, open descriptors.

Each of the three processes of a scan keeps only what its part needs: the engine DAC_READ_SEARCH, so that it
can read what root of the target could; the two that watch it, nothing.
"""

from __future__ import annotations

import encodings
import errno
import math
import os
import resource
import signal
import sys
import warnings

from toolkit.agent import kernel

CAP_DAC_READ_SEARCH = 2
CAP_SETPCAP = 8
CAP_SYS_CHROOT = 18
CAP_SYS_PTRACE = 19
CAP_SYS_ADMIN = 21
NEEDED = {
    "DAC_READ_SEARCH": CAP_DAC_READ_SEARCH,
    "SETPCAP": CAP_SETPCAP,
    "SYS_CHROOT": CAP_SYS_CHROOT,
    "SYS_PTRACE": CAP_SYS_PTRACE,
    "SYS_ADMIN": CAP_SYS_ADMIN,
}
_LAST_POSSIBLE = 63
MAX_OPEN_FILES = 1024
MAX_FILE_BYTES = 1 << 30


def load_nothing_more() -> None:
    """Have Python look for no module and no source file from here on: every path may soon be the target's.

    A traceback alone would do: it reads the source file, and a coding line in it names a codec to import.
    """
    for places in (sys.path, sys.meta_path, sys.path_hooks):
        places.clear()
    sys.path_importer_cache.clear()
    encodings.__path__ = []
    warnings.simplefilter("ignore")  # a warning shows its source line
    sys.excepthook = lambda _kind, error, _traceback: _tell(error)
    sys.unraisablehook = lambda unraisable: _tell(unraisable.exc_value)


def _tell(error: BaseException | None) -> None:
    os.write(2, f"barescan agent: {describe(error)}\n".encode(errors="replace"))


def describe(error: BaseException | None) -> str:
    """Return what went wrong and in which function, without reading any file."""
    where, step = "", error.__traceback__ if error else None
    while step:
        where, step = step.tb_frame.f_code.co_name, step.tb_next
    return f"{error} ({where})" if isinstance(error, OSError) else f"{type(error).__name__} ({where})"


def keep_only(mask: int) -> None:
    """Drop every capability outside `mask` from all sets, for good; SETPCAP goes last, capabilities(7)."""
    kernel.prctl(kernel.PR_CAP_AMBIENT, kernel.PR_CAP_AMBIENT_CLEAR_ALL)
    for capability in range(_LAST_POSSIBLE + 1):
        if mask >> capability & 1:
            continue
        try:
            kernel.prctl(kernel.PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno == errno.EINVAL:
                break  # past the last capability of this kernel
            raise
    kernel.set_capabilities(mask)


def gain_nothing_more() -> None:
    """Never gain a privilege by starting a program, no_new_privs in prctl(2)."""
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)


def hide_memory(*, hidden: bool = True) -> None:
    """Make this process undumpable: nobody without SYS_PTRACE reads its memory or descriptors, ptrace(2)."""
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0 if hidden else 1)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies, PR_SET_PDEATHSIG(2const)."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)


def yield_to_workload() -> None:
    """Under pressure the kernel shall take the scan, never the workload, proc_pid_oom_score_adj(5)."""
    os.nice(19)
    fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    os.write(fd, b"1000")
    os.close(fd)


def limit(memory_bytes: int, seconds: float) -> None:
    """Bound what the engine may take: address space, time of the processor, file size, open files, locked
    memory, message queues; no core dumps, getrlimit(2).

    The time is the deadline of the scan: it also ends an engine that nobody watches any more.
    """
    for what, bound in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, math.ceil(seconds)),
        (resource.RLIMIT_FSIZE, MAX_FILE_BYTES),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        value = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(what, (value, value))


def missing_capabilities(effective: int) -> list[str]:
    """Return which needed capabilities are not in a set, given as the mask of proc_pid_status(5)."""
    return [name for name, number in NEEDED.items() if not effective >> number & 1]
