"""What the attacks share: a hostile program as the main process of a container, and one scan of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from toolkit.agent import kernel
from toolkit.demo import launcher
from toolkit.errors import BarescanError
from toolkit.runtimes.base import resolve
from toolkit.runtimes.session import Outcome, converse

REPOSITORY = Path(__file__).parents[2]
BIN = "/sys/firmware/bin"
IDLE = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n"
NOBODY = 65532


def capabilities(*numbers: int) -> int:
    """Return a set of capabilities as the mask that the launcher takes."""
    return sum(1 << number for number in numbers)


DOCKER = capabilities(0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31)  # moby `oci/caps/defaults.go`
SYS_PTRACE, SYS_ADMIN, DAC_READ_SEARCH = capabilities(19), capabilities(21), capabilities(2)


@dataclass
class Container:
    """A running hostile target."""

    pid: int
    folder: Path

    @property
    def uri(self) -> str:
        return f"pid://{self.pid}"

    def log(self) -> str:
        """What the attack says of itself, in its /tmp/log."""
        return Path(f"/proc/{self.pid}/root/tmp/log").read_text(errors="replace")

    def wait_for(self, word: str, seconds: float = 10) -> None:
        until = time.monotonic() + seconds
        while word not in self.log():
            assert time.monotonic() < until, f"the attack did not say {word!r}: {self.log()}"
            time.sleep(0.02)


@dataclass
class Attempt:
    """How one scan went."""

    lines: list[str] = field(default_factory=list)
    outcome: Outcome = field(default_factory=Outcome)
    outputs: dict[str, bytes] = field(default_factory=dict)
    error: BarescanError | None = None
    complaint: str = ""
    seconds: float = 0.0


Scan = Callable[..., Attempt]


@pytest.fixture
def scan(bundle) -> Scan:
    """Run a shell script as the engine in a target; what goes wrong is part of the answer."""

    def run(uri: str, script: str, *, timeout: float = 20, outputs=(), **more: Any) -> Attempt:
        runtime, attempt = resolve(uri), Attempt()
        job: Mapping[str, Any] = {
            **runtime.job(),
            "bundle": str(bundle.path.resolve()),
            "argv": [f"{BIN}/env", "bash", "-c", script],
            "env": {},
            "outputs": list(outputs),
            "timeout": timeout,
            **more,
        }
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            connection = None
            try:
                with runtime.attach(bundle.path, timeout) as connection:
                    converse(connection, job, (), Path(folder), attempt.lines.append, attempt.outcome)
            except BarescanError as error:
                attempt.error = error
            attempt.complaint = connection.complaint if connection else ""
            attempt.outputs = {name: path.read_bytes() for name, path in attempt.outcome.outputs.items()}
        attempt.seconds = time.monotonic() - began
        return attempt

    return run


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Compile C source to a static program, once for each source."""
    done: dict[str, Path] = {}

    def compile_source(source: str) -> Path:
        if source not in done:
            if shutil.which("gcc") is None:
                pytest.skip("gcc is not installed")
            folder = tmp_path_factory.mktemp("attack")
            (folder / "attack.c").write_text(source)
            command = ["gcc", "-O1", "-static", "-w", "-o", str(folder / "attack"), str(folder / "attack.c")]
            subprocess.run(command, check=True, timeout=60)
            done[source] = folder / "attack"
        return done[source]

    return compile_source


@pytest.fixture
def container(compiled, tmp_path_factory) -> Iterator[Callable[..., Container]]:
    """Start C source as the main process of a container like Docker's; all are ended with the test."""
    started: list[Container] = []

    def start(
        source: str = IDLE,
        *arguments: str,
        user: int = 0,
        caps: int = 0,
        prepare: Callable[[Path], None] = lambda root: None,
        files: Mapping[str, str] | None = None,
    ) -> Container:
        folder = tmp_path_factory.mktemp("container")
        for parent in (folder, folder.parent, folder.parent.parent):
            parent.chmod(0o755)
        for name in ("lower", "upper", "work", "merged"):
            (folder / name).mkdir()
        lower = folder / "lower"
        for name in ("tmp", "proc", "sys", "dev", "mnt", "etc"):
            (lower / name).mkdir(mode=0o755)
        (lower / "tmp").chmod(0o1777)
        shutil.copy2(compiled(source), lower / "attack")
        prepare(lower)
        spec = launcher.Spec(
            lower=str(lower),
            upper=str(folder / "upper"),
            work=str(folder / "work"),
            merged=str(folder / "merged"),
            hostname="hostile",
            arguments=["/attack", *arguments],
            user=user,
            group=user,
            capabilities=caps,
            files=dict(files or {}),
        )
        command = [sys.executable, "-m", "toolkit.demo.launcher"]
        done = subprocess.run(
            command, input=spec.dumps(), capture_output=True, text=True, cwd=REPOSITORY, check=False
        )
        assert done.returncode == 0, done.stderr
        started.append(Container(int(done.stdout), folder))
        return started[-1]

    yield start
    for one in started:
        _end(one.pid)
        shutil.rmtree(one.folder, ignore_errors=True)


def _end(pid: int) -> None:
    """Kill a container's main process, and with it all others of its PID namespace."""
    try:
        pidfd = kernel.pidfd_open(pid)
    except OSError:
        return
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)


@dataclass
class Watched:
    """A process of the scan as the host sees it."""

    name: str
    descriptors: dict[int, str]
    status: dict[str, str]


@pytest.fixture
def watch(bundle) -> Callable[[float], Callable[[], list[Watched]]]:
    """Look at the scan's processes after some seconds; the result is what was seen."""

    def begin(after: float) -> Callable[[], list[Watched]]:
        found: list[Watched] = []

        def look() -> None:
            time.sleep(after)
            for entry in Path("/proc").glob("[0-9]*"):
                try:
                    line = (entry / "cmdline").read_bytes()
                    if b"toolkit.agent.__main__" in line and bytes(bundle.path) in line:
                        found.append(_look_at(entry))
                except OSError:
                    continue

        thread = threading.Thread(target=look)
        thread.start()

        def finish() -> list[Watched]:
            thread.join()
            return found

        return finish

    return begin


def _look_at(entry: Path) -> Watched:
    pairs = (line.partition(":\t") for line in (entry / "status").read_text().splitlines())
    descriptors = {int(fd.name): str(fd.readlink()) for fd in (entry / "fd").iterdir()}
    return Watched(entry.name, descriptors, {key: value for key, _, value in pairs})
