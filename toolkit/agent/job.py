"""What the agent is asked to do, checked strictly: the client may be newer, older or not ours at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from toolkit.agent.failure import AgentError
from toolkit.agent.stream import Kind, Stream

MOUNT_POINT = "sys/firmware"
"""Relative to the target's root: every OCI container has it, masked, and nothing is looked for in it."""
MAX_FILES_BYTES = 256 << 20
MAX_FILES = 30_000  # a profile has at most 20 000
_LONGEST_NAME = 4096
_MOST = 1 << 40  # of anything that is counted in bytes or seconds


@dataclass
class Job:
    """One run of one engine in one target."""

    bundle: str
    argv: list[str]
    env: dict[str, str]
    outputs: list[str]
    timeout: float
    pid: int | None = None
    rootfs: str | None = None
    container: dict[str, Any] | None = None
    """A container of a pod: `id`, `name`, and whether its PIDs are `shared`."""
    keep: float = 0.0
    """Seconds that the auditor's container is to wait for another scan after this one."""
    remote_mounts: bool = False
    trust_target: bool = False
    allow_network: bool = False
    allow_target_exec: bool = False
    require_confinement: str = ""
    """`full`: nothing is run where a layer of the confinement is missing."""
    without: list[str] = field(default_factory=list)
    """Layers to leave out, see `layers`: asked for by tests only, to show what each holds back on its own."""
    unpack: dict[str, str] = field(default_factory=dict)
    max_output: int = 64 << 20
    max_report: int = 256 << 20
    scratch_bytes: int = 256 << 20
    memory_bytes: int = 4 << 30
    files: dict[str, tuple[int, bytes]] = field(default_factory=dict)


def receive(stream: Stream) -> Job:
    """Read JOB, FILE and DATA frames up to END; raises AgentError (status 1) for a malformed job."""
    try:
        job = Job(**stream.expect(Kind.JOB).json())
    except TypeError as error:
        raise _not_understood(ascii(str(error)[:200])) from None
    if not _is_typed(job):
        raise _not_understood("a member of it is of another type")
    _check(job)
    held = 0
    while (frame := stream.receive()).kind is not Kind.END:
        if frame.kind is not Kind.FILE:
            raise AgentError(f"unexpected {frame.kind.name} frame in a job", status=1)
        about = frame.json()
        name, size, mode = _safe_name(about), about.get("size"), about.get("mode")
        if not _is_number(size) or not isinstance(size, int) or not isinstance(mode, int):
            raise _not_understood("a file of it has no size or no mode")
        held += size
        if held > MAX_FILES_BYTES or len(job.files) >= MAX_FILES:
            raise AgentError(
                f"the profile is larger than {MAX_FILES_BYTES >> 20} MiB or {MAX_FILES} files",
                "leave out what is not needed",
                1,
            )
        job.files[name] = (mode & 0o777, _content(stream, size))
    return job


def _not_understood(why: str) -> AgentError:
    return AgentError(f"the job is not understood: {why}", "use client and agent of one version", 1)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MOST


def _is_typed(job: Job) -> bool:
    """Tell whether what came as JSON is of the types that the rest of the agent takes it for."""
    lists, mappings = (job.argv, job.outputs), (job.env, job.unpack)
    if not all(isinstance(each, list) for each in lists) or not all(
        isinstance(each, dict) for each in mappings
    ):
        return False
    words = [job.bundle, *job.argv, *job.outputs, *job.env.values(), *job.unpack.values()]
    numbers = (job.timeout, job.keep, job.max_output, job.max_report, job.scratch_bytes, job.memory_bytes)
    optional = ((job.pid, int), (job.rootfs, str), (job.container, dict))
    return (
        all(isinstance(word, str) for word in words)
        and all(map(_is_number, numbers))
        and all(value is None or isinstance(value, kind) for value, kind in optional)
        and job.files == {}
    )


def _check(job: Job) -> None:
    if [job.pid, job.rootfs, job.container].count(None) != 2:
        raise AgentError("a job names one target: a pid, a root directory or a container", status=1)
    names = [*job.outputs, *job.unpack]
    if any(set("/\0") & set(name) or name.startswith(".") or not name for name in names) or not job.argv:
        raise AgentError("a job's outputs are plain file names and its command is not empty", status=1)


def _safe_name(about: dict[str, Any]) -> str:
    name = about.get("name")
    if not isinstance(name, str) or len(name) > _LONGEST_NAME:
        raise _not_understood("a file of it has no name")
    if any(part in {"", ".", ".."} for part in name.split("/")) or "\0" in name:
        raise AgentError(f"{name[:200]!a} is not a path inside the job", status=1)
    return name


def _content(stream: Stream, size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        content += stream.expect(Kind.DATA).payload
    if len(content) != size:
        raise AgentError("a file of the job is longer than announced", status=1)
    return bytes(content)
