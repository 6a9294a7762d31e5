"""What stands beside a target: a bundle and the agent started from it, on a host or in an auditor image."""

from __future__ import annotations

import time
from dataclasses import dataclass

import toolkit

IMAGE = f"barescan-auditor:{toolkit.__version__}"
"""The auditor image that is used when none is named."""
IMAGE_BUNDLE = "/barescan"
"""Where the bundle is in the auditor image; the agent's sources are in `AGENT` below it."""
AGENT = "agent"
ADDING = "adding an auditor"
"""What a runtime tells right before it brings one."""
WAIT = "wait"
"""The first argument of an auditor container that scans enter by exec."""
IMAGE_LOADER = "loader"
"""What the bundle's loader is called in the auditor image, whatever its architecture."""
SIDECAR = "barescan-auditor"
"""The name of an auditor container that is part of a pod from the start."""
BUNDLE_LABEL = "io.barescan.bundle.sha256"
AGENT_LABEL = "io.barescan.agent.sha256"
SCAN_LABEL = "io.barescan.scan"
"""On every container of ours: the moment (seconds since the epoch) after which it is a leftover."""
CAPABILITIES = ("SYS_ADMIN", "SYS_PTRACE", "SYS_CHROOT", "DAC_READ_SEARCH", "SETPCAP")
"""All that entering a target needs, see docs/entering.md."""
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); from toolkit.agent.__main__ import main; sys.exit(main())"
)


def deadline_label(seconds: float) -> dict[str, str]:
    """Return the label of a container of ours that is a leftover in so many seconds from now."""
    return {SCAN_LABEL: str(int(time.time() + seconds))}


@dataclass(frozen=True)
class Auditing:
    """How the user wants the auditor to be brought beside a target, where that is a container of its own."""

    image: str = IMAGE
    privileged: bool = False
    pull_policy: str = ""
    """In a cluster: Always, IfNotPresent or Never; Kubernetes' own default where empty."""
    keep: float = 0.0
    """In a cluster: for how many seconds the auditor waits for another scan after this one."""
    context: str = ""
    """Which context of the kubeconfig; its current one where empty."""


@dataclass(frozen=True)
class Entering:
    """What the user lets the auditor do in a target, and what has to hold it: fields of the agent's job."""

    remote_mounts: bool = False
    """Enter FUSE and network file systems too."""
    trust_target: bool = False
    """Scan also what could forge the result."""
    allow_network: bool = False
    """Let the profile speak to the network that the target has."""
    allow_target_exec: bool = False
    """Let the profile start the target's own programs."""
    require_confinement: str = ""
    """`full` to refuse a scan where a layer of the confinement is missing."""

    def lifted(self) -> list[str]:
        """Return the flags by which layers of the confinement were lifted."""
        flags = {"--allow-network": self.allow_network, "--allow-target-exec": self.allow_target_exec}
        return [flag for flag, given in flags.items() if given]


def wait_arguments(seconds: float | None) -> list[str]:
    """Return what the auditor image is started with to wait for scans that enter it by exec.

    It ends when none has come for `seconds`, never where that is None.
    """
    return [WAIT, "forever" if seconds is None else f"{seconds:g}"]


def agent_command(bundle: str, loader: str, package_parent: str, bytecode: str = "") -> list[str]:
    """Return the command line of the agent; `package_parent` is the directory of the package `toolkit`.

    `bytecode` is a directory where its compiled modules are kept for the next start; none are when empty.
    """
    return [*python_command(bundle, loader, bytecode), "-c", _START, package_parent]


def python_command(bundle: str, loader: str, bytecode: str = "") -> list[str]:
    """Return the command line of the bundle's Python, started through the bundle's loader by name.

    The interpreter path in its ELF files leads to where the bundle is mounted in a target, and not to
    `bundle`, where it is beside one. `loader` is the loader's file name in the bundle's `lib`.
    """
    lib = f"{bundle}/lib"
    keep = ["-X", f"pycache_prefix={bytecode}"] if bytecode else ["-B"]
    return [f"{lib}/{loader}", "--library-path", lib, f"{bundle}/bin/python3", "-I", "-S", *keep]
