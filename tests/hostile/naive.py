"""The naive ways to audit a container, as controls: each attack is first shown to work against one of them.

None of this is barescan's. It is what scripts do: bring ordinary tools, chroot, run them as root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

OWNED = "/owned"
"""What a planted payload writes, seen from the root that it runs in, to show that it ran."""
_SECONDS = 30
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
"""Where tools of this host are looked for, and those of a target by who visits it."""
_ENVIRONMENT = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8"}
# Own mounts only: nothing of it is seen by, or left for, anybody else. What is written goes to memory.
_CHROOT = """
tree=$1 place=$2
shift 2
mount -t tmpfs tmpfs "$place"
mkdir "$place/upper" "$place/work" "$place/merged"
cp -a "$tree" "$place/tree" # no layer of an overlay may lie in another
mount -t overlay overlay -o "lowerdir=$place/tree:/,upperdir=$place/upper,workdir=$place/work" "$place/merged"
mount -t proc proc "$place/merged/proc" 2>/dev/null || :
mount --rbind /dev "$place/merged/dev" 2>/dev/null || :
status=0
chroot "$place/merged" "$@" || status=$?
[ ! -e "$place/upper/owned" ] || echo owned >&3
exit $status
"""


@dataclass(frozen=True)
class Visit:
    """How a naive visit ended."""

    status: int
    output: str
    complaint: str
    owned: bool
    """Whether a payload ran: with the rights of root it has written `OWNED`."""


def visit(tree: Path, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Visit:
    """Chroot into a tree that has this host's tools where it has none itself, and run one of them as root.

    The tools are at their usual places, as in an image that is laid beneath the target's, and what the target
    has at the same place wins. What is written is gone afterwards.
    """
    with tempfile.TemporaryDirectory(prefix="barescan-naive-") as folder, tempfile.TemporaryFile() as said:
        script = f"exec 3>/proc/self/fd/{said.fileno()}; {_CHROOT}"
        private = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "visit"]
        done = subprocess.run(
            [*private, str(tree), folder, *command],
            env=_ENVIRONMENT | dict(environment or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
            pass_fds=[said.fileno()],
        )
        said.seek(0)
        return Visit(done.returncode, done.stdout, done.stderr, said.read() == b"owned\n")


def from_outside(pid: int, path: str) -> Path:
    """Return a file of a target as a script on the host names it, which follows links out of the target."""
    return Path(f"/proc/{pid}/root", path.lstrip("/"))


@contextmanager
def joined(pid: int, *command: str, capabilities: str = "") -> Iterator[subprocess.Popen[str]]:
    """Run a program of this host in a target's namespaces but its mounts, as `nsenter` does: dumpable, and
    with all capabilities, or those that are named (as `setpriv --bounding-set` takes them: `-all,+chown`).
    """
    drop = ["setpriv", "--bounding-set", capabilities, "--inh-caps", "-all"] if capabilities else []
    process = subprocess.Popen(
        ["nsenter", "--target", str(pid), "--pid", "--net", "--ipc", "--uts", *drop, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        subprocess.run(["pkill", "-KILL", "-P", str(process.pid)], check=False)
        process.kill()
        process.wait()


def why_not() -> str:
    """Return what of this host the naive ways lack, if anything."""
    missing = [name for name in ("unshare", "nsenter", "setpriv", "chroot") if shutil.which(name) is None]
    return f"the naive way needs {', '.join(missing)}" if missing else ""


def tool(name: str) -> str:
    """Return where a tool of this host is; raises FileNotFoundError."""
    found = shutil.which(name, path=PATH)
    if found is None:
        raise FileNotFoundError(name)
    return os.path.realpath(found)
