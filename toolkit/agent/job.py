"""What the agent is asked to do, checked strictly: the client may be newer, older or not ours at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from toolkit.agent.failure import AgentError
from toolkit.agent.stream import Kind, Stream

MOUNT_POINT = "sys/firmware"
"""Relative to the target's root: every OCI container has it, masked, and nothing is looked for in it."""
MAX_FILES_BYTES = 256 << 20


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
        raise AgentError(
            f"the job is not understood: {error}", "use client and agent of one version", 1
        ) from None
    _check(job)
    held = 0
    while (frame := stream.receive()).kind is not Kind.END:
        if frame.kind is not Kind.FILE:
            raise AgentError(f"unexpected {frame.kind.name} frame in a job", status=1)
        about = frame.json()
        held += int(about["size"])
        if held > MAX_FILES_BYTES:
            raise AgentError(
                f"the profile is larger than {MAX_FILES_BYTES >> 20} MiB", "leave out what is not needed", 1
            )
        job.files[_safe_name(about)] = (int(about["mode"]) & 0o777, _content(stream, int(about["size"])))
    return job


def _check(job: Job) -> None:
    if [job.pid, job.rootfs, job.container].count(None) != 2:
        raise AgentError("a job names one target: a pid, a root directory or a container", status=1)
    names = [*job.outputs, *job.unpack]
    if any("/" in name or name.startswith(".") for name in names) or not job.argv:
        raise AgentError("a job's outputs are plain file names and its command is not empty", status=1)


def _safe_name(about: dict[str, Any]) -> str:
    name = str(about["name"])
    if any(part in {"", ".", ".."} for part in name.split("/")) or "\0" in name:
        raise AgentError(f"{name!r} is not a path inside the job", status=1)
    return name


def _content(stream: Stream, size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        content += stream.expect(Kind.DATA).payload
    if len(content) != size:
        raise AgentError("a file of the job is longer than announced", status=1)
    return bytes(content)
