"""Root of the target overwrites the program of whoever joins it, through /proc/PID/exe (CVE-2019-5736)."""

from __future__ import annotations

import hashlib
import shutil

import pytest

from tests.hostile.naive import joined, tool
from tests.hostile.processes import others

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# A running program can't be written to: keep it open, and write once it has ended.
ACT = r"""
static int act(int pid)
{
    int fd = open_of(pid, "exe", O_PATH), writing = -1;
    char path[40];
    if (fd < 0)
        return 0;
    sprintf(path, "/proc/self/fd/%d", fd);
    for (int tries = 0; tries < 3000 && writing < 0; tries++, usleep(1000)) {
        writing = open(path, O_WRONLY | O_TRUNC);
        if (writing < 0 && errno != ETXTBSY)
            break;
    }
    if (writing >= 0)
        write(writing, "#!owned\n", 8);
    return 1;
}
"""


def test_no_program_of_ours_is_even_opened(works, bundle, container, scan, tmp_path):
    program = tmp_path / "audit"
    shutil.copy(tool("sleep"), program)
    target = others.start(container, ACT)
    with joined(target.pid, str(program), "1", capabilities=others.POOR):
        others.got(target)
    works(program.read_bytes() == b"#!owned\n", "it overwrites a program of the host")
    before = _digests(bundle.path)
    others.scanned_in_vain(target, scan)
    assert _digests(bundle.path) == before


def _digests(bundle):
    files = (file for place in ("bin", "lib") for file in (bundle / place).iterdir() if file.is_file())
    return {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
