"""statfs and statvfs give the captured flags; access is judged as root of the target would be answered."""

from __future__ import annotations

import os

import pytest

from .conftest import Bundle

FLAGS = "import os, sys; print(os.statvfs(sys.argv[1]).f_flag, os.fstatvfs(os.open(sys.argv[1], 0)).f_flag)"
HARDENED = os.ST_RDONLY | os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC


def flags(bundle: Bundle, captured: str, *, preload: bool = True) -> int:
    done = bundle.hardened("python3", "-c", FLAGS, "program", captured=captured, preload=preload)
    assert done.returncode == 0, done.stderr
    by_path, by_descriptor = map(int, done.stdout.split())
    assert by_path == by_descriptor
    return by_path & (HARDENED | os.ST_NOATIME | os.ST_RELATIME)


def test_without_the_library_our_own_flags_show(mounting: Bundle) -> None:
    assert flags(mounting, "rw,relatime", preload=False) == HARDENED | os.ST_RELATIME


@pytest.mark.parametrize(
    ("captured", "expected"),
    [
        ("rw,relatime", os.ST_RELATIME),
        ("rw,nosuid,nodev", os.ST_NOSUID | os.ST_NODEV),
        ("ro,noexec,noatime", os.ST_RDONLY | os.ST_NOEXEC | os.ST_NOATIME),
        ("", HARDENED | os.ST_RELATIME),
    ],
)
def test_captured_flags(mounting: Bundle, captured: str, expected: int) -> None:
    assert flags(mounting, captured) == expected


SCRIPT = """
for f in plain program sealed directory pipe link dangling absent; do
  answer=
  for t in r w x; do TEST -$t $f && answer=$answer$t; done
  echo $f=$answer
done
"""


def shell_tests(bundle: Bundle, captured: str, *, preload: bool = True, program: str = "test") -> str:
    """Which of r, w, x hold of each file of the hardened tree."""
    script = SCRIPT.replace("TEST", program)
    done = bundle.hardened("bash", "-c", script, captured=captured, preload=preload)
    assert done.stderr == ""
    return done.stdout


NATIVE = "plain=rw program=rwx sealed=rw directory=rwx pipe=rw link=rwx dangling= absent="


@pytest.mark.parametrize("program", ["test", "env test"], ids=["builtin", "coreutils"])
@pytest.mark.parametrize(
    ("captured", "expected"),
    [
        ("rw", NATIVE),
        ("ro", "plain=r program=rx sealed=r directory=rx pipe=rw link=rx dangling= absent="),
        ("rw,noexec", "plain=rw program=rw sealed=rw directory=rwx pipe=rw link=rw dangling= absent="),
    ],
)
def test_access_as_the_targets_root(mounting: Bundle, captured: str, expected: str, program: str) -> None:
    assert shell_tests(mounting, captured, program=program).split() == expected.split()


def test_access_without_the_library_is_wrong(mounting: Bundle) -> None:
    without = shell_tests(mounting, "rw", preload=False).split()
    assert without != NATIVE.split()
    assert "program=r" in without


@pytest.mark.parametrize("option", ["rw", "ro", "rw,noexec"])
def test_the_same_answers_as_with_all_of_roots_capabilities(mounting: Bundle, option: str) -> None:
    """The expectations above are the kernel's own: asked on a mount that really has these options."""
    native = mounting.hardened(
        "bash", "-c", SCRIPT.replace("TEST", "test"), captured="", preload=False, hardening=option, drop=""
    )
    assert native.stdout == shell_tests(mounting, option)


@pytest.mark.parametrize(
    "command",
    [
        [
            "python3",
            "-c",
            "import os; raise SystemExit(not os.access('program', os.X_OK | os.R_OK | os.W_OK))",
        ],
        [
            "ruby",
            "-e",
            "exit File.executable?('program') && File.writable?('plain') && File.executable_real?('link')",
        ],
        ["perl", "-e", "use filetest 'access'; exit !(-x 'program' && -w 'plain')"],
        ["sh", "-c", "find . -name program -executable -writable | grep program"],
    ],
    ids=lambda command: command[0],
)
def test_programs_that_ask(mounting: Bundle, command: list[str]) -> None:
    assert mounting.hardened(*command, captured="rw").returncode == 0
    assert mounting.hardened(*command, captured="rw", preload=False).returncode != 0


def test_a_read_only_target_says_so(mounting: Bundle) -> None:
    code = (
        "import ctypes, errno; c = ctypes.CDLL(None, use_errno=True)\n"
        "print(c.access(b'plain', 2), errno.errorcode[ctypes.get_errno()], c.access(b'pipe', 2))\n"
        "print(c.access(b'plain', 1), errno.errorcode[ctypes.get_errno()])\n"
        "print(c.access(b'absent', 1), errno.errorcode[ctypes.get_errno()])\n"
        "print(c.access(b'dangling', 1), *(c.faccessat(-100, b'dangling', mode, 0x100) for mode in (1, 2)))"
    )
    done = mounting.hardened("python3", "-c", code, captured="ro")
    assert done.stdout.split() == ["-1", "EROFS", "0", "-1", "EACCES", "-1", "ENOENT", "-1", "0", "-1"], (
        done.stderr
    )


@pytest.mark.parametrize(("user", "expected"), [(0, "True"), (4321, "False")])
def test_a_user_who_is_not_root_gets_the_kernels_answer(mounting: Bundle, user: int, expected: str) -> None:
    code = (  # the first question has the library read its data while it can
        "import os, sys; os.statvfs('.'); user = int(sys.argv[1])\n"
        "os.setreuid(user, user); print(os.access('sealed', os.W_OK))"
    )
    done = mounting.hardened("python3", "-c", code, str(user), captured="rw", drop="")
    assert done.stdout == f"{expected}\n", done.stderr
