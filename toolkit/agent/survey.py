"""What the target is: found by looking, from inside, after all privileges are gone.

Paths of the target are followed freely here, since nothing is left that following them could abuse.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from toolkit.agent.failure import AgentError

MAX_BYTES = 64 << 20
_RECORDS = "/var/lib/dpkg/status.d"
_MAX_RECORDS = 10_000
_MAX_RECORD_BYTES = 1 << 20
_MAX_LIBRARIES = 100_000
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
    "dpkg-distroless": (_RECORDS,),
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
            names = {name[:8] for name in _names(directory, _MAX_LIBRARIES)}
            for prefix, libc in (("ld-linux", "glibc"), ("ld-musl-", "musl")):
                if prefix in names:
                    return libc
    return None


def _names(directory: str, limit: int) -> list[str]:
    """Return at most `limit` names of a directory, sorted; raises OSError."""
    with os.scandir(directory) as entries:
        return sorted(entry.name for entry in itertools.islice(entries, limit))


def read_regular(path: str, limit: int = MAX_BYTES) -> bytes | None:
    """Return at most `limit` bytes of a regular file; None for anything else, which could block.

    None also for one that can't be read: a link may lead to files of the kernel that answer with errors.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            return file.read(limit) if stat.S_ISREG(os.fstat(fd).st_mode) else None
    except OSError:
        return None


def collect_dpkg_records(destination: Path) -> bool:
    """Make an admin directory for dpkg-query of `status.d`, where distroless images keep their records.

    Returns whether there was anything to collect: a target with a status file of its own needs nothing.
    Raises AgentError for more than can be read: a package left out would be one that is not there.
    """
    if os.path.lexists("/var/lib/dpkg/status"):
        return False
    try:
        names = _names(_RECORDS, _MAX_RECORDS + 1)
    except OSError:
        return False
    if len(names) > _MAX_RECORDS:
        raise _too_much(f"more than {_MAX_RECORDS} entries")
    destination.mkdir()
    for directory in ("info", "updates", "triggers"):
        (destination / directory).mkdir()
    with (destination / "status").open("wb") as status:
        for record in _records(names):
            status.write(_with_status(record) + b"\n\n")
    for name in ("available", "diversions", "statoverride"):
        (destination / name).touch()
    return True


def _records(names: list[str]) -> Iterator[bytes]:
    left = MAX_BYTES
    for name in names:
        if name.endswith(".md5sums"):
            continue
        content = read_regular(f"{_RECORDS}/{name}", _MAX_RECORD_BYTES + 1) or b""
        left -= len(content)
        if len(content) > _MAX_RECORD_BYTES or left < 0:
            raise _too_much(f"more than {MAX_BYTES >> 20} MiB, or {_MAX_RECORD_BYTES >> 20} in one of them")
        if record := content.strip(b"\n"):
            yield record


def _too_much(what: str) -> AgentError:
    return AgentError(
        f"the target's package records in {_RECORDS} are {what}", "no image has so many: treat it as hostile"
    )


def _with_status(record: bytes) -> bytes:
    """Say that the package is installed: the records come from archives, which have no Status field."""
    if re.search(rb"^Status:", record, re.MULTILINE):
        return record
    head, _, rest = record.partition(b"\n")
    return head + b"\nStatus: install ok installed\n" + rest
