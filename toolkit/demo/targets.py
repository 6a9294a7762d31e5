"""Running targets: start them, find them again, take them down without a trace.

A target is one process in mount, pid, net, ipc, uts and cgroup namespaces of its own. All its mounts are in
its mount namespace, so they go when it goes; what is left on the host is one directory with its state and
its writable layer, which `down` removes. A process is told from a later one of the same number by its start
time and the machine's boot.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import filelock

from toolkit.agent import kernel
from toolkit.demo import cache, distroless, needs
from toolkit.demo.launcher import Spec
from toolkit.errors import CallError, ScanError

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_STOP_SECONDS = 10
_REAP_SECONDS = 3  # an orphan stays listed until the host's init has collected it
# What Docker leaves to root by default: moby `oci/caps/defaults.go`.
_DOCKER_CAPABILITIES = sum(1 << number for number in (0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31))
_HOSTS = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"


@dataclass(frozen=True)
class RunningTarget:
    """A live process; `start_time` is in clock ticks since the machine's boot `boot`."""

    name: str
    variant: str
    pid: int
    start_time: int
    boot: str

    @property
    def uri(self) -> str:
        """Return the target's address for a scan."""
        return f"pid://{self.pid}"

    @property
    def root(self) -> Path:
        """Return its root as seen from the host, in its own mount namespace; gone when it is gone."""
        return Path(f"/proc/{self.pid}/root")

    def alive(self) -> bool:
        """Say whether this very process still runs."""
        return self.boot == _boot() and _start_time(self.pid) == self.start_time

    def run(
        self, arguments: list[str], environment: dict[str, str] | None = None, timeout: float = 600
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program of the target natively, in all its namespaces, as root, and return what it said."""
        enter = [needs.program("nsenter"), f"--target={self.pid}"]
        enter += ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wdns=/"]
        return subprocess.run(
            [*enter, "--", *arguments],
            env={"PATH": _PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=timeout,
        )


def up(
    name: str = "demo",
    variant: str = "base",
    progress: cache.Progress = cache.silent,
    suite: str = distroless.DEFAULT_SUITE,
) -> RunningTarget:
    """Start the demo target `name`, or return it when it runs already; raises CallError, ScanError."""
    needs.root("starting a demo target")
    _place(name)  # a bad name is told before anything is put together
    label = f"{variant}-{suite}"
    root = distroless.assemble(cast(distroless.Variant, variant), progress, suite)
    with _locked():
        found = _read(_place(name))
        if found and found.alive():
            if found.variant == label:
                progress(f"{name} is up already: {found.uri}")
                return found
            raise CallError(
                f"the demo target {name} is up as {found.variant}", f"invoke targets.down --name {name}"
            )
        home = "/home/nonroot" if variant != "nothing" else "/"
        environment = {"PATH": _PATH, "HOSTNAME": name, "HOME": home}
        if variant != "nothing":
            environment["SSL_CERT_FILE"] = "/etc/ssl/certs/ca-certificates.crt"
        progress(f"starting {name} ({label}) as user {distroless.NONROOT}, without capabilities")
        return _start(
            name,
            label,
            root,
            arguments=[distroless.PROGRAM],
            environment=environment,
            user=distroless.NONROOT,
            group=distroless.NONROOT,
            directory=home,
        )


def run_inside(tree: Path, name: str = "tree", arguments: list[str] | None = None) -> RunningTarget:
    """Start a process (`/bin/sleep infinity`) as root inside a tree, on an overlay: the tree stays as it is.

    With the mounts a runtime makes and the capabilities Docker leaves. Take it down by `down(name)`.
    """
    needs.root("starting a process inside a tree")
    with _locked():
        found = _read(_place(name))
        if found and found.alive():
            raise CallError(f"the target {name} is up already", "take it down first, or give another name")
        return _start(
            name,
            f"tree {tree}",
            tree,
            arguments=arguments or ["/bin/sleep", "infinity"],
            environment={"PATH": _PATH, "HOSTNAME": name, "HOME": "/root"},
            capabilities=_DOCKER_CAPABILITIES,
        )


def down(name: str | None = None, progress: cache.Progress = cache.silent) -> list[str]:
    """Stop one target, or all, and remove what they left; returns the names. An unknown name is no error."""
    needs.root("taking a demo target down")
    with _locked():
        stopped = [place.name for place in _places() if name in (None, place.name)]
        for each in stopped:
            found = _read(_place(each))
            if found:
                progress(f"stopping {each}")
                _kill(found)
            shutil.rmtree(_place(each))
    return stopped


def status() -> list[RunningTarget]:
    """Return the targets that run, by name."""
    found = [target for place in _places() if (target := _read(place))]
    return [target for target in found if target.alive()]


def _start(name: str, variant: str, root: Path, **spec: object) -> RunningTarget:
    place = _place(name)
    if place.exists():
        shutil.rmtree(place)
    for directory in ("upper", "work", "merged", "files"):
        (place / directory).mkdir(mode=0o755, parents=True)
    _copy_attributes(root, place / "upper")
    try:
        pid = _launch(
            Spec(
                lower=str(root),
                upper=str(place / "upper"),
                work=str(place / "work"),
                merged=str(place / "merged"),
                hostname=name,
                files=_runtime_files(place / "files", name),
                **spec,  # type: ignore[arg-type] # checked where it is called
            )
        )
        start_time = _start_time(pid)
        if start_time is None:
            raise ScanError(f"the program of {name} ended at once", "see whether it runs on this kernel")
        target = RunningTarget(name, variant, pid, start_time, _boot())
        (place / "state.json").write_text(json.dumps(dataclasses.asdict(target)))
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return target


def _launch(spec: Spec) -> int:
    done = subprocess.run(
        [sys.executable, "-m", "toolkit.demo.launcher"],
        input=spec.dumps(),
        capture_output=True,
        check=False,
        text=True,
        start_new_session=True,
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )
    if done.returncode:
        raise ScanError(
            f"{spec.hostname} could not be started: {done.stderr.strip()[-300:]}",
            "run as root with the capabilities SYS_ADMIN, MKNOD, NET_ADMIN on a kernel with namespaces",
        )
    return int(done.stdout)


def _runtime_files(directory: Path, name: str) -> dict[str, str]:
    """Write the three files that every runtime mounts into a container."""
    contents = {
        "/etc/hosts": _HOSTS,
        "/etc/hostname": f"{name}\n",
        "/etc/resolv.conf": "nameserver 127.0.0.1\n",
    }
    sources = {}
    for path, text in contents.items():
        file = directory / Path(path).name
        file.write_text(text)
        file.chmod(0o644)
        sources[path] = str(file)
    return sources


def _copy_attributes(source: Path, target: Path) -> None:
    """The upper layer's root directory is what the target sees as `/`."""
    status = source.stat()
    os.chown(target, status.st_uid, status.st_gid)
    target.chmod(status.st_mode & 0o7777)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _kill(target: RunningTarget) -> None:
    """Kill the process, all of its PID namespace with it, and wait; through a pidfd, so never another one."""
    try:
        pidfd = kernel.pidfd_open(target.pid)
    except ProcessLookupError:
        return
    try:
        if not target.alive():
            return
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(_STOP_SECONDS * 1000):
            raise ScanError(
                f"process {target.pid} does not end within {_STOP_SECONDS} s", "look at it with ps, try again"
            )
    finally:
        os.close(pidfd)
    deadline = time.monotonic() + _REAP_SECONDS
    while Path(f"/proc/{target.pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)


def _start_time(pid: int) -> int | None:
    """Return field 22 of proc_pid_stat(5), or None when the process is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in {b"Z", b"X"} else int(fields[19])


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _targets() -> Path:
    return cache.folder("targets")


def _places() -> list[Path]:
    return sorted(path for path in _targets().iterdir() if _NAME.fullmatch(path.name))


def _place(name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise CallError(f"{name!r} is no name for a target", "use up to 40 of a-z, 0-9 and -")
    return _targets() / name


def _locked() -> filelock.BaseFileLock:
    return filelock.FileLock(_targets().with_name("targets.lock"))


def _read(place: Path) -> RunningTarget | None:
    try:
        return RunningTarget(**json.loads((place / "state.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
