"""A profile brings a program of its own: written to its scratch directory, or in memory that has no name.

It gains nothing with it that its scripts have not. But faults of the kernel are exploited in native code, so
that it is not made easy.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.hostile.profiles.engine import RUNS, TRIED, answered, malicious, naively, plant

pytestmark = [pytest.mark.root, pytest.mark.bundle]

ATTACK = f"""{TRIED}
import ctypes, os, platform
program = open("%s", "rb").read()
def started(path):
    pid = os.fork()
    if pid == 0:
        try:
            os.execv(path, [path])
        except OSError as error:
            os._exit(error.errno)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        raise OSError(status, "exec")
def written(place):
    with open(place, "wb") as file:
        file.write(program)
        os.chmod(place, 0o755)
    started(place)
    os.unlink(place)
def unnamed():
    memory = os.memfd_create("x") if hasattr(os, "memfd_create") else -1
    os.write(memory, program)
    started(f"/proc/self/fd/{{memory}}")
tried("scratch", written, "%s/program")
tried("memory", unnamed)
"""


@pytest.mark.parametrize("without", [[], ["landlock"]])
def test_it_does_not_start(works, compiled, container, scan, tmp_path, without):
    def prepare(root: Path) -> None:
        plant(root)
        shutil.copy2(compiled(RUNS), root / "program")

    target = container(prepare=prepare)
    had = naively(target.pid, ATTACK % (target.tree / "program", tmp_path))
    works(had.count("the target ran") == 2 and "memory done" in had, "root's script starts both")
    said = answered(scan(target.uri, malicious(ATTACK % ("/program", "/sys/firmware/tmp")), without=without))
    assert said == ["scratch EACCES", "memory EPERM"]
