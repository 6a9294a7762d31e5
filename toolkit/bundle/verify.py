"""Starts every program of a bundle in a root that holds nothing else: what runs there runs in any target."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from typing import Any

from toolkit.bundle.build import Bundle
from toolkit.bundle.namespaces import PRIVATE, require

CALLS: dict[str, tuple[str, ...]] = {
    "chage": ("--help",),
    "dmesg": ("-V",),
    "getcap": ("/",),
    "hostname": ("-V",),
    "ip": ("-V",),
    "kmod": ("-V",),
    "lsattr": ("-d", "/proc"),
    "lsmod": ("-V",),
    "pidof": ("no such process",),
    "test": ("x", "=", "x"),
    "which": ("/sys/firmware/bin/which",),
}
"""Program → arguments of a call that ends with status 0; for all others it is --version."""

STATUS = {"false": 1, "lsattr": 1, "pidof": 1}

# As the agent does it: oscap itself does not read gzip.
_UNPACK_AND_READ = """
for content; do
    gzip -cd "$content" > content.xml && /sys/firmware/bin/oscap info --profiles content.xml || exit 1
done
"""

ENGINES: dict[str, tuple[str, ...]] = {
    "cinc": ("ruby", "--disable=gems", "/sys/firmware/lib/barescan/auditor.rb", "version"),
    "openscap": ("sh", "-c", _UNPACK_AND_READ, "sh"),
}

_ROOT = """
root=$1 bundle=$2
shift 2
mount -t tmpfs -o mode=755 barescan "$root"
mkdir -p "$root/proc" "$root/sys/firmware" "$root/dev"
for node in null zero random urandom; do
    : > "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
mount -t proc proc "$root/proc"
mount --rbind "$bundle" "$root/sys/firmware"
mount -o remount,bind,ro "$root/sys/firmware"
mount -t tmpfs -o mode=700,noexec barescan "$root/sys/firmware/tmp"
mount -o remount,bind,ro "$root"
cd "$root/sys/firmware/tmp"
exec chroot "$root" /sys/firmware/bin/sh -c 'cd /sys/firmware/tmp && exec "$@"' sh "$@"
"""

ENVIRONMENT = {
    "HOME": "/sys/firmware/tmp",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "TMPDIR": "/sys/firmware/tmp",
}


def run(bundle: Bundle, *command: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a program of the bundle in an otherwise empty root; a name without slash is one of bin/.

    Returns status, standard output and error. Raises ScanError without root.
    """
    require("starting the bundle's programs")
    program = command[0] if "/" in command[0] else f"/sys/firmware/bin/{command[0]}"
    with tempfile.TemporaryDirectory(prefix="barescan-empty-") as root:
        enter = ["sh", "-ec", _ROOT, "enter", root, str(bundle.path), program, *command[1:]]
        return subprocess.run(
            [*PRIVATE, *enter],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            env=ENVIRONMENT,
        )


def calls(bundle: Bundle) -> dict[str, tuple[tuple[str, ...], int]]:
    """Return what `verify` starts: name → (command, expected status)."""
    found = {}
    for path in sorted((bundle.path / "bin").iterdir()):
        name = path.name
        found[name] = ((name, *CALLS.get(name, ("--version",))), STATUS.get(name, 0))
    for name, command in engine_calls(bundle.manifest).items():
        found[f"engine {name}"] = (command, 0)
    return found


def engine_calls(manifest: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return a call of each engine that ends with status 0 where engine and content can be used."""
    found = {engine: ENGINES[engine] for engine in manifest["engines"]}
    if "openscap" in found:
        content = (f"/sys/firmware/{place}" for place in manifest["content"].values())
        found["openscap"] = (*found["openscap"], *content)
    return found


def verify(bundle: Bundle) -> dict[str, str]:
    """Start every program and engine once; return those that failed, with the reason."""
    failed = {}
    for name, (command, status) in calls(bundle).items():
        try:
            done = run(bundle, *command)
        except subprocess.TimeoutExpired:
            failed[name] = "did not end"
            continue
        if done.returncode != status:
            failed[name] = f"ended with status {done.returncode}: {done.stderr.strip()[-300:]}"
        elif "ld.so" in done.stderr:
            failed[name] = done.stderr.strip()[-300:]
    return failed
