"""What the target is: found by looking, from inside, after all privileges are gone.

Paths of the target are followed freely here, since nothing is left that following them could abuse.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path

MAX_BYTES = 64 << 20
_SEARCH_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/busybox")
_SHELLS = ("sh", "bash", "dash", "ash", "busybox", "zsh", "ksh", "mksh", "fish", "csh", "tcsh", "toybox")
_PACKAGE_MANAGERS = (
    "dpkg",
    "apt-get",
    "apt",
    "apk",
    "rpm",
    "dnf",
    "microdnf",
    "yum",
    "zypper",
    "pacman",
    "opkg",
)
_DATABASES = {
    "dpkg": ("/var/lib/dpkg/status",),
    "dpkg-distroless": ("/var/lib/dpkg/status.d",),
    "rpm": (
        "/var/lib/rpm/rpmdb.sqlite",
        "/var/lib/rpm/Packages",
        "/usr/lib/sysimage/rpm/rpmdb.sqlite",
        "/usr/lib/sysimage/rpm/Packages.db",
    ),
    "apk": ("/usr/lib/apk/db/installed", "/lib/apk/db/installed"),
    "chisel": ("/var/lib/chisel/manifest.wall",),
}
_LIBRARY_DIRECTORIES = ("/lib64", "/lib", "/usr/lib64", "/usr/lib")
_OS_RELEASE = re.compile(r"""^([A-Z][A-Z0-9_]*)=["']?([^"'\n]{0,200})""", re.MULTILINE)


def survey() -> dict[str, object]:
    """Return what was found: os-release, shells, package managers and databases, libc, distroless or not."""
    shells, managers = _programs(_SHELLS), _programs(_PACKAGE_MANAGERS)
    return {
        "os_release": os_release(),
        "shells": shells,
        "package_managers": managers,
        "package_databases": [
            name for name, paths in _DATABASES.items() if any(os.path.lexists(path) for path in paths)
        ],
        "libc": _libc(),
        "distroless": not shells and not managers,
    }


def os_release() -> dict[str, str]:
    """Return the keys of /etc/os-release, os-release(5), values cut at 200 characters."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        text = read_regular(path, 64 << 10)
        if text is not None:
            return dict(_OS_RELEASE.findall(text.decode(errors="replace")))
    return {}


def _programs(names: tuple[str, ...]) -> list[str]:
    paths = (f"{directory}/{name}" for directory in _SEARCH_PATH for name in names)
    return [path for path in paths if os.path.lexists(path)]


def _libc() -> str | None:
    for directory in _LIBRARY_DIRECTORIES:
        with contextlib.suppress(OSError):
            names = {entry.name[:8] for entry in Path(directory).iterdir()}
            for prefix, libc in (("ld-linux", "glibc"), ("ld-musl-", "musl")):
                if prefix in names:
                    return libc
    return None


def read_regular(path: str, limit: int = MAX_BYTES) -> bytes | None:
    """Return at most `limit` bytes of a regular file; None for anything else, which could block."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(fd, "rb") as file:
        return file.read(limit) if stat.S_ISREG(os.fstat(fd).st_mode) else None


def collect_dpkg_records(destination: Path) -> bool:
    """Make an admin directory for dpkg-query of `status.d`, where distroless images keep their records.

    Returns whether there was anything to collect: a target with a status file of its own needs nothing.
    """
    if os.path.lexists("/var/lib/dpkg/status"):
        return False
    try:
        names = sorted(entry.name for entry in Path("/var/lib/dpkg/status.d").iterdir())
    except OSError:
        return False
    destination.mkdir()
    for directory in ("info", "updates", "triggers"):
        (destination / directory).mkdir()
    with (destination / "status").open("wb") as status:
        for name in names:
            content = read_regular(f"/var/lib/dpkg/status.d/{name}", 1 << 20)
            if name.endswith(".md5sums") or not content:
                continue
            status.write(_with_status(content.strip(b"\n")) + b"\n\n")
            if status.tell() > MAX_BYTES:
                break
    for name in ("available", "diversions", "statoverride"):
        (destination / name).touch()
    return True


def _with_status(record: bytes) -> bytes:
    """Say that the package is installed: the records come from archives, which have no Status field."""
    if re.search(rb"^Status:", record, re.MULTILINE):
        return record
    head, _, rest = record.partition(b"\n")
    return head + b"\nStatus: install ok installed\n" + rest
