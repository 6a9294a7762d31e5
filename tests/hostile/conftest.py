"""What the attacks share: a hostile target, one scan of it, the control, and the host that is looked at.

One attack is one file. Its tests ask for `works`, with which they first show that the attack works against a
naive way (`naive.py`) or with the layer that is to hold it back left out (`without` of a job). Every test
here looks at the host before and after: what is left there is a trace, and fails it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.hostile import host, naive
from toolkit.agent import kernel
from toolkit.demo import launcher
from toolkit.errors import BarescanError
from toolkit.runtimes.base import resolve
from toolkit.runtimes.session import Outcome, converse

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
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

    def written(self) -> set[str]:
        """Name the files that were made or changed in the container since its start, whiteouts included."""
        upper = self.folder / "upper"
        return {
            str(path.relative_to(upper)) for path in upper.rglob("*") if path.is_file() or not path.is_dir()
        }

    @property
    def tree(self) -> Path:
        """The files that it was started with."""
        return self.folder / "lower"

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


_TRIED: pytest.StashKey[dict[str, bool]] = pytest.StashKey()
"""Attacks that were shown to work, by file, and whether all that barescan did about them held."""
_SKIPPED: pytest.StashKey[bool] = pytest.StashKey()


class ControlError(AssertionError):
    """An attack did not work where nothing holds it back, as on a machine that is too busy for its timing."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Try a control again, and only that: what barescan did is judged the first time."""
    again = pytest.mark.flaky(reruns=3, reruns_delay=1, only_rerun=[ControlError.__name__])
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(again)


@pytest.fixture
def works(request: pytest.FixtureRequest) -> Iterator[Callable[[object, str], None]]:
    """Show that an attack works where nothing holds it back: what is seen of it has to be there."""
    tried = request.config.stash.setdefault(_TRIED, {})
    file = str(request.path)

    def show(seen: object, what: str) -> None:
        if not seen:
            raise ControlError(f"the control failed, so that this test shows nothing: {what}")
        tried.setdefault(file, True)

    yield show
    assert file in tried or request.node.stash.get(_SKIPPED, False), "the attack was not shown to work first"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note which attacks were not held back, or left a trace."""
    report = yield
    tried = item.config.stash.setdefault(_TRIED, {})
    item.stash[_SKIPPED] = report.skipped
    if report.failed and HERE in item.path.parents:
        tried[str(item.path)] = False
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many attacks were tried, and whether one of them got anywhere."""
    tried = terminalreporter.config.stash.get(_TRIED, {})
    if not tried:
        return
    broken = sorted(str(Path(file).relative_to(HERE)) for file, held in tried.items() if not held)
    rest = (
        f"{len(broken)} did not fail or left a trace: {', '.join(broken)}" if broken else "none left a trace"
    )
    terminalreporter.write_sep("=", "attacks")
    terminalreporter.write_line(f"{len(tried)} attacks tried, each first shown to work naively; {rest}")


@pytest.fixture(autouse=True)
def host_is_as_before(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves anything on the host: files, mounts, processes of the scan."""
    if not request.node.get_closest_marker("bundle"):
        yield
        return
    bundle = request.getfixturevalue("bundle").path
    earlier = host.agents(bundle)
    before = host.look(bundle, earlier)
    yield
    assert host.traces(before, host.look(bundle, earlier)) == []


@pytest.fixture(autouse=True)
def naive_tools(request: pytest.FixtureRequest) -> None:
    """Skip what needs a naive way that this host has not."""
    if "works" in request.fixturenames and (reason := naive.why_not()):
        pytest.skip(reason)


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
                    ours = (b"toolkit.agent.__main__", bytes(bundle.path), bytes(REPOSITORY))
                    if all(each in line for each in ours):  # not of others who test on this machine
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
