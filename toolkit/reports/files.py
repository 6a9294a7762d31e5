"""Files of a report: read with a cap, written once, whole, and for the owner's eyes only."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import IO

from toolkit.errors import CallError, ScanError
from toolkit.reports.text import visible

#: What the user puts right by naming another place; the rest (no space, a broken disk) is no wrong call.
WRONG_PLACE = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENAMETOOLONG}
)

#: How file systems without hard links (FAT, some network and FUSE ones) answer link(2).
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


def read_capped(path: Path, limit: int, what: str) -> bytes:
    """Read a regular file of at most `limit` bytes; `what` names its kind in messages ("report").

    Raises `CallError` when it is missing, unreadable, larger, or no regular file (a FIFO would block).
    """
    name = visible(str(path))
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise CallError(f"the {what} {name} is not a regular file", "name a file")
            data = stream.read(limit + 1)
    except (OSError, ValueError) as error:
        raise CallError(
            f"the {what} {name} cannot be read: {_reason(error)}", "check the path and its mode"
        ) from error
    if len(data) > limit:
        raise CallError(f"the {what} {name} is larger than {limit} bytes", "name a smaller file")
    return data


def write_new(data: bytes, path: Path) -> None:
    """Write a file that does not exist yet: whole or not at all, mode 0600, synced to disk.

    Raises `CallError` when the name is taken or the place is wrong (missing, read-only, not permitted) and
    `ScanError` when the disk does not take it (no space left). In neither case anything is left behind.
    """
    make_new(lambda stream: stream.write(data), path)


def make_new(fill: Callable[[IO[bytes]], object], path: Path) -> None:
    """Write a file as `write_new` does, by a function that writes its bytes as they come about."""
    try:
        _write(fill, path, _publish)
    except FileExistsError as error:
        raise CallError(
            f"{visible(str(path))} exists already and is not overwritten",
            "name another file or report directory",
        ) from error


def write_over(data: bytes, path: Path) -> None:
    """Write a file or replace it, so that it is whole at every moment, mode 0600; raises as `write_new`."""
    _write(lambda stream: stream.write(data), path, Path.replace)


def _write(fill: Callable[[IO[bytes]], object], path: Path, publish: Callable[[Path, Path], object]) -> None:
    draft = path.parent / f".{secrets.token_hex(8)}.part"
    try:
        try:
            _write_draft(fill, draft)
            publish(draft, path)
        finally:
            with contextlib.suppress(OSError):
                draft.unlink()
    except FileExistsError:
        raise
    except OSError as error:
        cause = f"{visible(str(path))} cannot be written: {_reason(error)}"
        if error.errno in WRONG_PLACE:
            raise CallError(cause, "name a directory you may write to") from error
        raise ScanError(cause, "make room or name another report directory") from error


def _write_draft(fill: Callable[[IO[bytes]], object], draft: Path) -> None:
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(descriptor, 0o600)  # whatever the umask took away from the owner
        fill(stream)
        stream.flush()
        os.fsync(descriptor)


def _publish(draft: Path, path: Path) -> None:
    """Give the draft its name; link(2) is the one call that does so atomically and never replaces a file."""
    try:
        os.link(draft, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        draft.replace(path)


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else visible(str(error))
