"""Landlock: what the engine can't do to files and processes, whatever it is allowed otherwise, landlock(7).

The wall behind the mounts' flags: writes only to the scratch directory and the five harmless devices,
programs only from the bundle, no TCP, no signal, no abstract socket and no look (ptrace(2), `/proc/PID/root`,
`fd`, `mem`) to any process outside of what the engine has started. Reading files is not restricted: that is
what it is here for.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from toolkit.agent import kernel

SCOPES = 6
"""The version of the interface that brought scopes (Linux 6.12); each version has all of those before."""
_NETWORK, _TRUNCATE, _REFER, _IOCTL = 4, 3, 2, 5
_EXECUTE, _WRITE_FILE = 1 << 0, 1 << 1
_REMOVE_DIRECTORY, _REMOVE_FILE = 1 << 4, 1 << 5
_MAKE_CHARACTER_DEVICE, _MAKE_BLOCK_DEVICE = 1 << 6, 1 << 11
_MAKE_DIRECTORY, _MAKE_FILE, _MAKE_SOCKET, _MAKE_FIFO, _MAKE_LINK = 1 << 7, 1 << 8, 1 << 9, 1 << 10, 1 << 12
_REFER_RIGHT, _TRUNCATE_RIGHT, _IOCTL_RIGHT = 1 << 13, 1 << 14, 1 << 15
_BIND_AND_CONNECT = 3
_ABSTRACT_SOCKETS_AND_SIGNALS = 3
"""Rights and scopes of linux/landlock.h."""
_WHY = {
    errno.ENOSYS: "this kernel has no Landlock, which came with Linux 5.13",
    errno.EOPNOTSUPP: "Landlock is not enabled on this machine (`lsm=` of the kernel's command line)",
    errno.EPERM: "a seccomp profile around the auditor forbids Landlock",
}


def version() -> tuple[int, str]:
    """Return the version of the interface, or 0 and why there is none."""
    try:
        return kernel.landlock_version(), ""
    except OSError as error:
        return 0, _WHY.get(error.errno or 0, str(error))


def _write_rights(version: int) -> int:
    rights = _WRITE_FILE | _REMOVE_DIRECTORY | _REMOVE_FILE
    rights |= _MAKE_DIRECTORY | _MAKE_FILE | _MAKE_SOCKET | _MAKE_FIFO | _MAKE_LINK
    for since, right in ((_REFER, _REFER_RIGHT), (_TRUNCATE, _TRUNCATE_RIGHT), (_IOCTL, _IOCTL_RIGHT)):
        rights |= right if version >= since else 0
    return rights


def restrict(
    version: int, bundle: Path, scratch: Path, devices: list[Path], *, network: bool, execute: bool
) -> None:
    """Restrict this process and all that it starts, for good; needs no_new_privs.

    `network` leaves TCP as it is, `execute` lets programs from outside of the bundle start. Raises OSError.
    """
    writing = _write_rights(version)
    handled = writing | _MAKE_CHARACTER_DEVICE | _MAKE_BLOCK_DEVICE | (0 if execute else _EXECUTE)
    tcp = _BIND_AND_CONNECT if version >= _NETWORK and not network else 0
    scoped = _ABSTRACT_SOCKETS_AND_SIGNALS if version >= SCOPES else 0
    ruleset = kernel.landlock_ruleset(handled, tcp, scoped)
    if not execute:
        _allow(ruleset, bundle, _EXECUTE)
    _allow(ruleset, scratch, writing)
    for device in _real(devices):
        kernel.landlock_allow(ruleset, device, handled & (_WRITE_FILE | _TRUNCATE_RIGHT | _IOCTL_RIGHT))
        os.close(device)
    kernel.landlock_restrict(ruleset)
    os.close(ruleset)


def _allow(ruleset: int, directory: Path, rights: int) -> None:
    place = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    kernel.landlock_allow(ruleset, place, rights)
    os.close(place)


def _real(devices: list[Path]) -> Iterator[int]:
    """Give a descriptor for each that is a character device; a target may have anything else there."""
    for path in devices:
        try:
            place = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        if stat.S_ISCHR(os.fstat(place).st_mode):
            yield place
        else:
            os.close(place)
