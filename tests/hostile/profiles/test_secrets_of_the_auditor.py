"""A profile reads what the auditor beside it has: its environment, its root, a token that is mounted in it.

In a pod every container has a token for the API server; the auditor's may be of more use than the target's.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.models.containers import Container
from docker.types import Mount

from tests.containers import distroless_image, running
from tests.hostile.conftest import BIN
from tests.hostile.profiles.engine import SAID, naively, needs_landlock
from toolkit.auditor import Auditing
from toolkit.runtimes.base import resolve
from toolkit.runtimes.docker import DockerRuntime
from toolkit.runtimes.session import Outcome, converse

pytestmark = [pytest.mark.root, pytest.mark.bundle]

TOKEN = "the token of the auditor"
READ_ALL_ONLY = "-all,+dac_read_search"
PLACE = "/run/secrets/token"
# The kernel is asked by number: the bundle's libraries hide the scan's own processes. Supervisor, keeper and
# init were started right before the profile, whose own numbers are left out.
ATTACK = f"""{SAID}
first, last = %s
for number in range(first, last):
    for name in ("root{PLACE}", "root/barescan/bundle.json", "environ", "mem", "fd/0", "root/"):
        fd = libc.syscall(ctypes.c_long(257 if platform.machine() == "x86_64" else 56), -100,
                          f"/proc/{{number}}/{{name}}".encode(), os.O_NONBLOCK, 0)
        if fd >= 0:
            print(name, os.read(fd, 999) if "token" in name or name == "environ" else "opened", flush=True)
print("looked at", last > first, flush=True)
"""
BEFORE_ITS_OWN = "max(1, int(os.readlink('/proc/self')) - 50), int(os.readlink('/proc/self')) - 1"


def _script() -> str:
    attack = shlex.quote(ATTACK % BEFORE_ITS_OWN)
    looks = f"{BIN}/cat {PLACE} /proc/self/mountinfo | {BIN}/grep -a token"
    return f"{looks}; {BIN}/python3 -I -S -c {attack}"


@pytest.fixture
def naive_auditor() -> Iterator[int]:
    """An auditor as scripts have them: root that has dropped everything, and has a token."""
    command = ["setpriv", "--bounding-set", "-all", "sleep", "60"]
    with subprocess.Popen(command, env={"TOKEN": TOKEN, "PATH": "/usr/bin:/bin"}) as auditor:
        while Path(f"/proc/{auditor.pid}/comm").read_text() != "sleep\n":
            time.sleep(0.02)
        yield auditor.pid
        auditor.kill()


@pytest.mark.parametrize("without", [[], ["system-calls"], ["hidden-memory"]])
def test_those_of_a_local_auditor(works, naive_auditor, sleeper, scan, without):
    had = naively(sleeper, ATTACK % f"{naive_auditor}, {naive_auditor + 1}", READ_ALL_ONLY)
    works(
        any(TOKEN in line for line in had),
        "its engine reads its environment, with no right but to read files",
    )
    needs_landlock()  # the host's other processes are none of ours and have no other wall before them
    attempt = scan(f"pid://{sleeper}", _script(), trust_target=True, without=without)
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == ["looked at True"], attempt.outcome.stderr


def _pid(container: Container) -> int:
    container.reload()
    return int(container.attrs["State"]["Pid"])


@pytest.mark.docker
def test_those_of_an_auditor_container(works, auditor_image, bundle, tmp_path, monkeypatch):
    token = tmp_path / "token"
    token.write_text(TOKEN)
    mounted = {"mounts": [Mount(PLACE, str(token), type="bind", read_only=True)]}
    with running(distroless_image()) as target:
        pid = _pid(target)
        with running(distroless_image(), pid_mode=f"container:{target.id}", user="0:0", **mounted) as naive:
            theirs = _pid(naive)
            had = naively(pid, ATTACK % f"{theirs}, {theirs + 1}", READ_ALL_ONLY)
            works(
                any(TOKEN in line for line in had),
                "an auditor beside the target is read through /proc/PID/root",
            )
        rights = DockerRuntime._rights
        monkeypatch.setattr(DockerRuntime, "_rights", lambda runtime: rights(runtime) | mounted)
        runtime = resolve(f"docker://{target.id}", Auditing(auditor_image))
        outcome, lines = Outcome(), list[str]()
        inside = runtime.bundle(lambda: bundle)
        job = runtime.job() | {"bundle": str(inside.path), "argv": [f"{BIN}/env", "bash", "-c", _script()]}
        with runtime.attach(inside.path, 60) as connection:
            more = {"env": {}, "outputs": [], "timeout": 60}
            converse(connection, job | more, (), tmp_path, lines.append, outcome)
    assert outcome.complete
    assert lines == ["looked at True"], outcome.stderr
