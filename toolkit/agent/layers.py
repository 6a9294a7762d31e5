"""The layers of the confinement: which there are, which of them are on in a scan, and why others are not.

Each holds back something on its own, so that a fault in one of them is not one of the scan. What is planned
here is put on by `enter`, `engine` and `confine`, or ends the scan.
"""

from __future__ import annotations

import errno
import platform
from dataclasses import dataclass
from pathlib import Path

from toolkit.agent import cgroup, kernel, landlock
from toolkit.agent.failure import AgentError
from toolkit.agent.job import Job

FULL = "full"
ON = "on"
DOES_NOT_APPLY = "does not apply"
READ_ONLY, NOSUID, NODEV, NOEXEC = "read-only", "nosuid", "nodev", "noexec"
CAPABILITIES, NO_NEW_PRIVILEGES, HIDDEN_MEMORY = "capabilities", "no-new-privileges", "hidden-memory"
SYSTEM_CALLS, LANDLOCK, SCOPES = "system-calls", "landlock", "scopes"
NETWORK, LIMITS, CGROUP = "network", "limits", "cgroup"
MOUNT_ATTRIBUTES = {
    READ_ONLY: kernel.MOUNT_ATTR_RDONLY,
    NOSUID: kernel.MOUNT_ATTR_NOSUID,
    NODEV: kernel.MOUNT_ATTR_NODEV,
    NOEXEC: kernel.MOUNT_ATTR_NOEXEC,
}
NAMES = (
    *MOUNT_ATTRIBUTES,
    *(CAPABILITIES, NO_NEW_PRIVILEGES, HIDDEN_MEMORY),
    *(SYSTEM_CALLS, LANDLOCK, SCOPES),
    *(NETWORK, LIMITS, CGROUP),
)
_FILTER = "lib/barescan/system-calls{}.bpf"
_LEFT_OUT = "left out, as was asked"


@dataclass(frozen=True)
class Layers:
    """Which layers a scan has."""

    states: dict[str, str]
    """By name: `on`, or why it is not."""
    system_calls: bytes
    landlock: int
    """The version of Landlock's interface."""

    def on(self, name: str) -> bool:
        """Say whether a layer is on."""
        return self.states[name] == ON

    def mount_attributes(self) -> int:
        """Return what the target's mounts get, as MOUNT_ATTR_* of mount_setattr(2)."""
        return sum(flag for name, flag in MOUNT_ATTRIBUTES.items() if self.on(name))


def plan(job: Job) -> Layers:
    """Return the layers for a job, before anything of the target is touched.

    Raises AgentError where `full` confinement is required and something lacks, and (status 1) for a name that
    is none of a layer.
    """
    if unknown := sorted(set(job.without) - set(NAMES)):
        raise AgentError(f"there is no layer {unknown[0]!r}", f"the layers are {', '.join(NAMES)}", 1)
    without = {*job.without, *([SCOPES] if LANDLOCK in job.without else [])}
    network = job.allow_network or NETWORK in without
    code, trouble = _filter(Path(job.bundle), network=network)
    version, landlock_trouble = landlock.version()
    loose = cgroup.loose()
    off = {
        SYSTEM_CALLS: trouble,
        LANDLOCK: landlock_trouble,
        SCOPES: _scopes(version, landlock_trouble),
        NETWORK: "lifted by --allow-network" if job.allow_network else "",
        NOEXEC: "lifted by --allow-target-exec" if job.allow_target_exec else "",
        CGROUP: f"{DOES_NOT_APPLY}: the pod's own bounds hold" if loose and job.container else loose,
    } | dict.fromkeys(without, _LEFT_OUT)
    states = {name: off.get(name) or ON for name in NAMES}
    if job.require_confinement == FULL and (missing := lacking(states)):
        why = "; ".join(missing)
        raise AgentError(
            f"the full confinement is required, and not to be had here: {why}",
            "scan from another machine, or leave --require-confinement out",
        )
    return Layers(states, code, version)


def lacking(states: dict[str, str]) -> list[str]:
    """Return the layers that are not on, with the reason, but for those that don't apply to such a target."""
    return [
        f"{name}: {state}"
        for name, state in states.items()
        if state != ON and not state.startswith(DOES_NOT_APPLY)
    ]


def _scopes(version: int, trouble: str) -> str:
    if trouble or version >= landlock.SCOPES:
        return trouble
    return f"this kernel's Landlock (version {version}) has no scopes, which came with Linux 6.12"


def _filter(bundle: Path, *, network: bool) -> tuple[bytes, str]:
    """Return the filter of system calls that the bundle has, or why there is none."""
    try:
        kernel.check_seccomp()
        return (bundle / _FILTER.format("-network" if network else "")).read_bytes(), ""
    except FileNotFoundError:
        return b"", f"the bundle has no filter of system calls for {platform.machine()}"
    except OSError as error:
        if error.errno == errno.EINVAL:
            return b"", "this kernel has no filters of system calls"
        return b"", f"filters of system calls can't be used here: {error.strerror}"
