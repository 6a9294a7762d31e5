"""Commands that leave nothing behind: in mount and process namespaces that die with the caller."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from toolkit.errors import ScanError

PRIVATE = (
    *("setpriv", "--pdeathsig", "KILL"),
    *(
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--",
    ),
)
"""Put before a command: its mounts are seen by nobody else, and it ends with all its children when we do."""

_PROGRAMS = {"setpriv": "util-linux", "unshare": "util-linux", "chroot": "coreutils"}


def require(
    purpose: str, programs: dict[str, str] | None = None, files: dict[Path, str] | None = None
) -> None:
    """Raise ScanError, naming the remedy, unless this is root on Linux with these programs and files.

    Both dictionaries give the Debian package that brings what is named.
    """
    if platform.system() != "Linux" or os.geteuid() != 0:
        raise ScanError(
            f"{purpose} needs root on Linux", "run it with sudo, or name a finished bundle in BARESCAN_BUNDLE"
        )
    wanted = _PROGRAMS | (programs or {})
    missing = {package for name, package in wanted.items() if not shutil.which(name)}
    missing |= {package for path, package in (files or {}).items() if not path.exists()}
    if missing:
        names = " ".join(sorted(missing))
        raise ScanError(f"{purpose} needs {names}", f"apt-get install {names}")
