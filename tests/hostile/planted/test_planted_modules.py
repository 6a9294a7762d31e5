"""Python files of the target, planted where the agent's own Python would look once the target is its root."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.hostile.conftest import NOBODY
from toolkit.agent import confine

pytestmark = [pytest.mark.root, pytest.mark.bundle]

# Its user namespace may hold no further process: to join it and to fork is refused.
NO_MORE_PROCESSES = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0644);
    write(fd, text, strlen(text));
    close(fd);
}
int main(void)
{
    struct rlimit one = {1, 1};
    char map[60];
    sprintf(map, "0 %d 1", getuid());
    for (int i = 0; i < 2; i++)
        if (!fork())
            for (;;) pause();
    setrlimit(RLIMIT_NPROC, &one);
    unshare(CLONE_NEWUSER);
    put("/proc/self/setgroups", "deny");
    put("/proc/self/uid_map", map);
    put("/proc/self/gid_map", map);
    put("/tmp/log", "ready\n");
    for (;;) pause();
}
"""
MARK = "code of the target ran"
EVIL = f"import os\nos.write(2, b'{MARK}')\n"
SOURCE = "# -*- coding: evil -*-\n" * 3
FAIL_IN_ITS_ROOT = """
import os, sys
sys.path.insert(0, {repository!r})
import tokenize, traceback
from toolkit.agent import confine
{first}
code = compile("raise OSError(11, 'no')", {source!r}, "exec")
os.chroot({root!r})
os.write(1, b"inside")
try:
    exec(code)
except OSError as error:
    {report}
"""


def _plant(root: Path, encodings: Path, source: Path) -> None:
    for path, text in ((encodings / "evil.py", EVIL), (source, SOURCE)):
        place = root / str(path).lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    subprocess.run(["chmod", "-R", "a+rX", str(root)], check=True)


def test_a_failure_after_entering_imports_nothing_of_the_target(bundle, container, scan):
    encodings = next((bundle.path.resolve() / "lib").glob("python3*/encodings"))
    sources = Path(confine.__file__).parent

    def plant(root: Path) -> None:
        for name in ("__main__", "engine", "enter", "kernel", "confine"):
            _plant(root, encodings, sources / f"{name}.py")

    target = container(NO_MORE_PROCESSES, user=NOBODY, prepare=plant)
    target.wait_for("ready")
    attempt = scan(target.uri, "exit 0")
    assert MARK not in attempt.complaint + attempt.outcome.stderr
    assert "could not be entered: [Errno 11]" in str(attempt.error)
    assert not attempt.outcome.complete


@pytest.mark.parametrize(
    ("first", "report", "owned"),
    [
        ("pass", "traceback.print_exc()", True),
        ("confine.load_nothing_more()", "os.write(2, confine.describe(error).encode())", False),
        ("confine.load_nothing_more()", "raise", False),
        ("confine.load_nothing_more()", "b''.decode('evil')", False),
        ("confine.load_nothing_more()", "traceback.print_exc()", False),
    ],
)
def test_reporting_a_failure_reads_nothing_of_the_target(bundle, tmp_path, first, report, owned):
    home = bundle.path.resolve()
    encodings = next((home / "lib").glob("python3*/encodings"))
    source = Path("/planted/source.py")
    _plant(tmp_path, encodings, source)
    repository = str(Path(confine.__file__).parents[2])
    code = FAIL_IN_ITS_ROOT.format(
        repository=repository, first=first, source=str(source), root=str(tmp_path), report=report
    )
    loader = next((home / "lib").glob("ld-linux*"))
    command = [loader, "--library-path", home / "lib", home / "bin/python3", "-I", "-S", "-B", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "inside"
    assert (MARK in done.stderr) is owned, done.stderr
