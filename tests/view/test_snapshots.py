"""What the kernel refuses of other processes is read from the agent's record."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Bundle


@pytest.fixture
def stranger(mounting: Bundle) -> Iterator[int]:
    """A process with more capabilities than the engine, and a record of it."""
    with subprocess.Popen(["sleep", "60"], env={"SECRET": "of the process"}) as process:
        recorded = mounting.view / "proc" / str(process.pid)
        (recorded / "fd").mkdir(parents=True)
        (recorded / "fd" / "0").symlink_to("socket:[4321]")
        (recorded / "exe").symlink_to("/recorded/exe")
        (recorded / "environ").write_bytes(b"RECORDED=1\0")
        yield process.pid
        process.kill()


WAYS = [
    (["readlink", "/proc/PID/fd/0"], "socket:[4321]"),
    (["readlink", "/proc/PID/exe"], "/recorded/exe"),
    (["ls", "-l", "/proc/PID/exe"], "/recorded/exe"),
    (["find", "/proc/PID/exe", "-printf", "%l"], "/recorded/exe"),
    (["cat", "/proc/PID/environ"], "RECORDED=1"),
    (["gawk", "{ print }", "/proc/PID/environ"], "RECORDED=1"),
    (["ruby", "-e", "puts File.readlink('/proc/PID/fd/0')"], "socket:[4321]"),
    (["python3", "-c", "import os; os.chdir('/proc/PID'); print(os.readlink('exe'))"], "/recorded/exe"),
    (["perl", "-e", "open(F, '<', '/proc/PID/environ') or die; print <F>"], "RECORDED=1"),
]


@pytest.mark.parametrize(("command", "answer"), WAYS, ids=lambda value: " ".join(value[:2]))
def test_a_refused_question_is_answered_from_the_record(
    mounting: Bundle, stranger: int, command: list[str], answer: str
) -> None:
    words = [word.replace("PID", str(stranger)) for word in command]
    done = mounting.hardened(*words, captured="rw")
    assert answer in done.stdout, done.stderr
    assert answer not in mounting.hardened(*words, captured="rw", preload=False).stdout


def test_what_is_not_recorded_stays_refused(mounting: Bundle, stranger: int) -> None:
    done = mounting.hardened("cat", f"/proc/{stranger}/maps", captured="rw")
    assert "Permission denied" in done.stderr
    assert "Permission denied" in mounting.hardened("cat", "/proc/1/environ", captured="rw").stderr


def test_an_answer_of_the_kernel_comes_first(mounting: Bundle) -> None:
    recorded = mounting.view / "proc" / str(os.getpid())
    recorded.mkdir(parents=True)
    (recorded / "exe").symlink_to("/recorded/exe")
    assert mounting.text("readlink", f"/proc/{os.getpid()}/exe") == f"{Path('/proc/self/exe').readlink()}\n"


def test_ss_names_the_process_of_a_socket(mounting: Bundle) -> None:
    """ss(8) -p goes through /proc/PID/fd; here a socket of ours is recorded as another's."""
    with socket.create_server(("127.0.0.1", 0)) as server, subprocess.Popen(["sleep", "60"]) as process:
        inode = os.fstat(server.fileno()).st_ino
        port = server.getsockname()[1]
        recorded = mounting.view / "proc" / str(process.pid) / "fd"
        recorded.mkdir(parents=True)
        (recorded / "0").symlink_to(f"socket:[{inode}]")
        command = ["ss", "-Htlnp", f"sport = :{port}"]
        with_library = mounting.hardened(*command, captured="rw").stdout
        without = mounting.hardened(*command, captured="rw", preload=False).stdout
        process.kill()
    assert str(port) in without
    assert "users:" not in without
    assert f'users:(("sleep",pid={process.pid},fd=0))' in with_library


def test_package_records_that_lie_elsewhere_are_found_by_who_opens_a_stream(bundle: Bundle) -> None:
    if Path("/var/lib/dpkg/status").exists():
        hide = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /var/lib/dpkg; exec "$@"', "hide"]
    else:
        hide = []
    records = bundle.prefix / "tmp" / "dpkg"
    records.mkdir(parents=True)
    (records / "status").write_text("Package: found\n")
    code = (
        "import ctypes; libc = ctypes.CDLL(None); libc.fopen.restype = ctypes.c_void_p;"
        "print(*(bool(libc.fopen(b'/var/lib/dpkg/' + name, b'r')) for name in (b'status', b'other')))"
    )
    assert bundle.text(*hide, "python3", "-c", code).split() == ["True", "False"]
    assert bundle.text(*hide, "python3", "-c", code, preload=False).split() == ["False", "False"]
