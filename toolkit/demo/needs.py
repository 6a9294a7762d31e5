"""What making and running demo targets needs of the host, checked before anything is begun."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from toolkit.errors import ScanError

_PACKAGES = {
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "tar": "tar",
    "gcc": "gcc libc6-dev",
    "mmdebstrap": "mmdebstrap",
    "nsenter": "util-linux",
}


def root(what: str) -> None:
    """Raise ScanError unless this process is root; `what` begins the sentence."""
    if os.geteuid() != 0:
        raise ScanError(f"{what} needs root", "run the same command with sudo")


def program(name: str) -> str:
    """Return the path of a program; raises ScanError naming the package that brings it."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        raise ScanError(f"{name} is not installed", f"apt-get install {_PACKAGES.get(name, name)}")
    return path


def run(
    arguments: Sequence[str],
    remedy: str,
    *,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> bytes:
    """Return what a program printed; raises ScanError with the last line of its complaint."""
    done = subprocess.run(
        [program(arguments[0]), *arguments[1:]],
        cwd=directory,
        env={**os.environ, **(environment or {}), "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        reason = said[-1] if said else f"status {done.returncode}"
        raise ScanError(f"{arguments[0]} failed: {reason[:300]}", remedy)
    return done.stdout
