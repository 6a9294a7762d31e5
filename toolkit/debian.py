"""Where Debian's packages come from: apt sources of a suite, for every root and package that is fetched.

No address is written here: BARESCAN_DEBIAN_MIRROR names one, else mmdebstrap knows Debian's public archive.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from toolkit.errors import ScanError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR_VARIABLE = "BARESCAN_DEBIAN_MIRROR"


def mirror() -> str:
    """Return the address that the user chose, without `/debian`; empty for Debian's public archive."""
    return os.environ.get(MIRROR_VARIABLE, "").rstrip("/")


def sources(suite: str) -> list[str]:
    """Return the apt sources of a suite with its updates, signed by Debian's keyring, sources.list(5).

    Raises ScanError when the keyring or mmdebstrap is missing.
    """
    if not KEYRING.exists():
        raise ScanError(f"there is no {KEYRING}", "apt-get install debian-archive-keyring")
    chosen = mirror()
    if chosen:
        components = {"debian": (suite, f"{suite}-updates"), "debian-security": (f"{suite}-security",)}
        entries = [f"{chosen}/{path} {name} main" for path, names in components.items() for name in names]
    else:
        entries = _known_to_mmdebstrap(suite)
    return [f"deb [signed-by={KEYRING}] {entry}" for entry in entries]


def _known_to_mmdebstrap(suite: str) -> list[str]:
    """Return `ADDRESS SUITE COMPONENTS` of each source that mmdebstrap(1) would use by itself.

    It is had to prepare a root, show the sources it wrote there, and stop before anything is fetched.
    """
    command = ["mmdebstrap", "--quiet", "--mode=chrootless", "--format=null", "--variant=custom"]
    command += ["--skip=update,cleanup", '--setup-hook=cat "$1/etc/apt/sources.list" >&2', suite, "-"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise ScanError("mmdebstrap is not installed", "apt-get install mmdebstrap") from None
    lines = [line.removeprefix("deb ") for line in done.stderr.splitlines() if line.startswith("deb ")]
    found = [line.rpartition("]")[2].strip() for line in lines]
    if done.returncode or not found:
        raise ScanError(
            f"mmdebstrap names no archive for Debian {suite}", f"name a mirror with {MIRROR_VARIABLE}"
        )
    return found
