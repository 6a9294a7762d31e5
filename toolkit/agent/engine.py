"""Init of the engine's own PID namespace: survey the target, run the engine, bring back what it wrote.

The namespace is nested in the target's: the engine sees the target's processes in /proc, can signal none of
them, and dies to the last child when this process does, pid_namespaces(7).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import stat
import time
import zlib
from pathlib import Path

from toolkit.agent import confine, kernel, landlock, layers, notes, survey, suspect
from toolkit.agent.enter import SAFE_DEVICES, Entered, join_user_namespace, seal
from toolkit.agent.failure import AgentError
from toolkit.agent.job import MOUNT_POINT, Job
from toolkit.agent.layers import Layers
from toolkit.agent.stream import CHUNK, Kind, Stream, StreamError

SCRATCH = Path(f"/{MOUNT_POINT}/tmp")  # noqa: S108 a private tmpfs
TO_START = 1 << confine.CAP_SYS_ADMIN | 1 << confine.CAP_SETPCAP | 1 << confine.CAP_DAC_READ_SEARCH
"""What `keep` and `run` need to begin with: for namespaces and mounts, for giving it up, for the engine."""
_DRAIN_SECONDS = 2.0
_BASE_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": str(SCRATCH),
    "TMPDIR": str(SCRATCH),
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
}


def run(job: Job, plan: Layers, stream: Stream, entered: Entered) -> None:
    """Run the job in the root that was entered and report over `stream`; this process is confined first."""
    if entered.own_proc:
        _mount_proc()
    if plan.on(layers.CAPABILITIES):
        confine.keep_only(1 << confine.CAP_DAC_READ_SEARCH)
    os.umask(0o077)
    os.fchdir(entered.scratch)
    stream.send(Kind.FACTS, survey.survey())
    environment = _BASE_ENVIRONMENT | {"BARESCAN_TARGET_PID": str(entered.main_pid)} | job.env
    if survey.collect_dpkg_records(Path("dpkg")):
        environment["DPKG_ADMINDIR"] = str(SCRATCH / "dpkg")
    for name, packed in job.unpack.items():
        _unpack(Path("/", MOUNT_POINT, packed), Path(name))
    notes.prepare(entered.scratch)
    stream.send(Kind.PHASE, {"phase": "run"})
    started = time.monotonic()
    engine = _Run(job, plan, stream, environment)
    status = engine.wait()
    killed = _kill_everything_else()
    seconds = time.monotonic() - started
    suspect.check_own_places(entered.places)
    if not job.trust_target:
        notes.check(entered.scratch, engine.ended, killed)
    left = job.max_report
    for name in job.outputs:
        left -= _send_output(stream, entered.scratch, name, left)
    code = os.waitstatus_to_exitcode(status)
    stream.send(Kind.RESULT, {"exit_status": code, "seconds": round(seconds, 3)})
    stream.end()


def _mount_proc() -> None:
    proc = kernel.new_filesystem(
        "proc", {}, kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV | kernel.MOUNT_ATTR_NOEXEC | 1
    )
    kernel.move_mount(proc, os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW))


def _unpack(packed: Path, place: Path) -> None:
    """Inflate a gzip file of the bundle; oscap itself reads only bzip2, which takes it up to a second."""
    inflate = zlib.decompressobj(wbits=31)
    with packed.open("rb") as source, place.open("wb") as file:
        while data := source.read(CHUNK):
            file.write(inflate.decompress(data))
        file.write(inflate.flush())


class _Run:
    """The engine process and its two output pipes, relayed with a cap on what is passed on."""

    def __init__(self, job: Job, plan: Layers, stream: Stream, environment: dict[str, str]) -> None:
        self._stream = stream
        self._left = job.max_output
        self.ended: list[tuple[int, int]] = []
        self._status: int | None = None
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        self._pipes = {out_read: Kind.STDOUT, err_read: Kind.STDERR}
        self._pid = os.fork()
        if self._pid == 0:
            _exec(job, plan, environment, out_write, err_write)
        os.close(out_write)
        os.close(err_write)

    def wait(self) -> int:
        """Relay until the engine has ended; return its wait status.

        `ended` then has the numbers and wait statuses of it and of others that nobody else waited for.
        """
        drain_until: float | None = None
        while self._pipes:
            self._relay(0.05 if self._status is None else 0.01)
            self._reap()
            if self._status is None:
                continue
            drain_until = drain_until or time.monotonic() + _DRAIN_SECONDS
            if time.monotonic() > drain_until:
                break  # a child that was left behind holds the pipes; it is killed next
        while self._status is None:
            self._note(*os.waitpid(-1, 0))
        self._reap()
        return self._status

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self._note(*ended)

    def _note(self, pid: int, status: int) -> None:
        if pid == self._pid:
            self._status = status
        self.ended.append((pid, status))

    def _relay(self, seconds: float) -> None:
        ready, _, _ = select.select(list(self._pipes), [], [], seconds)
        for fd in ready:
            data = os.read(fd, CHUNK)
            if not data:
                del self._pipes[fd]
                os.close(fd)
            elif self._left > 0:
                self._stream.send(self._pipes[fd], data[: self._left])
                self._left -= len(data)


def _exec(job: Job, plan: Layers, environment: dict[str, str], out: int, err: int) -> None:
    """Become the engine; only ever returns by exiting."""
    try:
        os.setsid()
        empty, closed = os.pipe()
        os.close(closed)
        for source, number in ((empty, 0), (out, 1), (err, 2)):
            os.dup2(source, number)
        kernel.close_from(3)
        for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        _confine(job, plan)
        os.execve(job.argv[0], job.argv, environment)  # noqa: S606 no shell is wanted
    except OSError as error:
        os.write(2, f"the engine did not start: {job.argv[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def _confine(job: Job, plan: Layers) -> None:
    """Put on what holds for the engine alone; the filter is last, as it forbids what the others need."""
    if plan.on(layers.LIMITS):
        confine.limit(job.memory_bytes, job.timeout)
    if plan.on(layers.LANDLOCK):
        landlock.restrict(
            plan.landlock if plan.on(layers.SCOPES) else min(plan.landlock, landlock.SCOPES - 1),
            Path("/", MOUNT_POINT),
            SCRATCH,
            [Path("/dev", name) for name in SAFE_DEVICES],
            network=job.allow_network,
            execute=job.allow_target_exec,
        )
    if plan.on(layers.SYSTEM_CALLS):
        kernel.set_seccomp_filter(plan.system_calls)


def _kill_everything_else() -> set[int]:
    """Kill all that is left in this namespace; return the numbers of what was still alive."""
    killed = set()
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            killed.add(os.waitpid(-1, 0)[0])
    return killed


def _send_output(stream: Stream, scratch: int, name: str, limit: int) -> int:
    """Send one file that the engine wrote; a link or a special file put in its place is not followed."""
    try:
        fd = kernel.open_beneath(scratch, name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return 0
    about = os.fstat(fd)
    if not stat.S_ISREG(about.st_mode) or about.st_size > limit:
        os.close(fd)
        return 0
    with os.fdopen(fd, "rb") as file:
        stream.send(Kind.FILE, {"name": name, "size": about.st_size})
        stream.send_data(file.read(about.st_size))
        return about.st_size


def keep(
    control_fd: int, job: Job, plan: Layers, stream: Stream, entered: Entered, beside: list[int]
) -> None:
    """Hold the engine's PID namespace: kill it when the supervisor says so or is gone, reap it, exit.

    This process is the first in the target's PID namespace and so has nothing left that is worth taking.
    """
    seal(entered.files, [os.getpid(), os.getppid(), *beside])  # 0 where the supervisor is outside
    os.close(entered.files)
    join_user_namespace(entered)
    confine.hide_memory(hidden=plan.on(layers.HIDDEN_MEMORY))
    confine.die_with_parent()
    kernel.unshare(kernel.CLONE_NEWPID)
    init = os.fork()
    if init == 0:
        confine.die_with_parent()
        os.close(control_fd)
        try:
            run(job, plan, stream, entered)
        except AgentError as error:
            fail(stream, error)
        except Exception as error:
            fail(stream, AgentError(f"the audit broke off: {confine.describe(error)}"))
        os._exit(0)
    kernel.close_all_but([0, 1, 2, control_fd])
    confine.keep_only(0)
    pidfd = kernel.pidfd_open(init)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(control_fd, select.POLLIN | select.POLLHUP)
    if not any(fd == pidfd for fd, _ in poll.poll()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(init, signal.SIGKILL)
    os.waitpid(init, 0)
    os._exit(0)


def fail(stream: Stream, error: AgentError) -> None:
    """Say what went wrong and end this process."""
    with contextlib.suppress(StreamError):
        stream.send(Kind.FAIL, error.as_json())
    os._exit(1)
