"""A malicious profile: Python that the bundle's own Python runs as the confined engine, and root's naively.

A profile is code that its user has got from somewhere. What any of them could do, whatever its language, a
script can do that is run as the engine: it is the same process with the same rights.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
from pathlib import Path

import pytest

from tests.hostile.conftest import BIN, Attempt
from tests.hostile.naive import joined, tool, visit
from tests.hostile.planted.payload import write
from toolkit.agent import landlock

ANSWER = "what the target itself has to say"
_FILE = "/etc/answer"
_SECONDS = 20
RUNS = '#include <unistd.h>\nint main(void) { write(1, "the target ran\\n", 15); return 0; }\n'
"""A program that only shows that it ran."""
SAID = """
import ctypes, errno, os, platform
libc = ctypes.CDLL(None, use_errno=True)
def said(name, numbers, *arguments):
    ctypes.set_errno(0)
    number = numbers[platform.machine() == "aarch64"]
    result = libc.syscall(ctypes.c_long(number), *arguments)
    print(name, "done" if result >= 0 else errno.errorcode[ctypes.get_errno()], flush=True)
    return result
"""
"""Defines `said`: ask the kernel by number (x86_64, aarch64), print the name with `done` or the error."""
TRIED = """
import errno
def tried(name, act, *arguments):
    try:
        act(*arguments)
        print(name, "done", flush=True)
    except OSError as error:
        print(name, errno.errorcode[error.errno], flush=True)
"""
"""Defines `tried`: call a function, print the name with `done` or the error."""


def plant(root: Path) -> None:
    """Put the file into a target's tree that an attack is followed by reading: its answer has to be right."""
    write(root, _FILE, f"{ANSWER}\n")


def malicious(source: str) -> str:
    """Return the script of a profile that attacks, in Python, and then gives an honest answer."""
    return f"{BIN}/python3 -I -S -c {shlex.quote(source)}; {BIN}/cat {_FILE}"


def answered(attempt: Attempt) -> list[str]:
    """Return what an attack said for itself, of a scan that came to its end with the right answer."""
    assert attempt.outcome.complete, f"{attempt.error}\n{attempt.outcome.stderr}"
    assert attempt.lines[-1:] == [ANSWER], attempt.outcome.stderr
    return attempt.lines[:-1]


def naively(pid: int, source: str, capabilities: str = "") -> list[str]:
    """Return what the same attack says where root's Python runs it in a target's namespaces."""
    command = [sys.executable, "-I", "-S", "-c", source]
    with joined(pid, *command, capabilities=capabilities) as process:
        return process.communicate(timeout=_SECONDS)[0].splitlines()


def in_chroot(tree: Path, source: str) -> list[str]:
    """Return what the same attack says where root's Python runs it in a chroot of the target's tree."""
    return visit(tree, [tool("python3"), "-I", "-S", "-c", source]).output.splitlines()


def running(mark: str) -> list[int]:
    """Return the processes of this host that have a text in their command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def end(mark: str) -> None:
    """Kill what a control left running."""
    for pid in running(mark):
        os.kill(pid, signal.SIGKILL)


def needs_landlock(version: int = 1) -> None:
    """Skip what only Landlock holds back, or only a version of it, where this kernel has none."""
    found, why = landlock.version()
    if found < version:
        pytest.skip(why or f"needs Landlock's interface {version}, this kernel has {found}")
