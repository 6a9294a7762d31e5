"""The directory tree of an image for as long as a scan needs it, in a private directory that goes away."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from toolkit.errors import ScanError
from toolkit.unpack.limits import Budget
from toolkit.unpack.stage import TAG

_PREFIX = "barescan-image-"
_LOCK = "lock"
_YOUNG_SECONDS = 60  # between making a directory and locking it lie microseconds
_POLL_SECONDS = 0.1
_PROGRAMS = {"umoci": "umoci", "setpriv": "util-linux", "prlimit": "util-linux", "rm": "coreutils"}


def new_place() -> Path:
    """Return the path of a directory that does not exist yet, below TMPDIR."""
    return Path(tempfile.gettempdir()) / f"{_PREFIX}{secrets.token_hex(8)}"


@contextlib.contextmanager
def private(place: Path, prefix: Sequence[str]) -> Iterator[None]:
    """Make `place`, for its owner only, and remove it with all that got into it, whatever happens.

    `prefix` is put before the command that removes. A lock in it tells later runs that it is in use: what a
    run left that was killed is removed by the next. Raises ScanError when it can't be made.
    """
    require_programs()
    remove_leftovers(place.parent, prefix)
    with room(place.parent):
        place.mkdir(mode=0o700)
        lock = os.open(place / _LOCK, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with room(place.parent):
            yield
    finally:
        remove(place, prefix)
        os.close(lock)


def require_programs() -> None:
    """Raise ScanError naming the packages of programs that are missing."""
    missing = sorted({package for name, package in _PROGRAMS.items() if not shutil.which(name)})
    if missing:
        names = " ".join(missing)
        raise ScanError(f"unpacking an image needs {names}", f"apt-get install {names}")


@contextlib.contextmanager
def room(directory: Path) -> Iterator[None]:
    """Turn what the file system refuses into a ScanError about `directory`."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise no_room(directory) from None
        raise ScanError(f"the image can't be unpacked below {directory}: {error}", "set TMPDIR") from None


def no_room(directory: Path) -> ScanError:
    """Return the error for a full disk."""
    return ScanError(
        f"there is no room left in {directory} to unpack the image",
        "make room, or set TMPDIR to another disk",
    )


def remove_leftovers(directory: Path, prefix: Sequence[str]) -> None:
    """Remove what runs of this user left that were killed; what is locked is in use."""
    for place in directory.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            about = place.lstat()
            if stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid() and _abandoned(place, about):
                remove(place, prefix)


def _abandoned(place: Path, about: os.stat_result) -> bool:
    try:
        lock = os.open(place / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return time.time() - about.st_mtime > _YOUNG_SECONDS
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def remove(place: Path, prefix: Sequence[str] = ()) -> None:
    """Remove a directory with rm(1): names may be nested deeper than Python's own function can go.

    `prefix` is only tried for what could not be removed without it.
    """
    for before in ([], prefix) if prefix else ([],):
        if os.path.lexists(place):
            subprocess.run(
                [*before, "rm", "-rf", "--one-file-system", "--", str(place)],
                check=False,
                stdin=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )


def unpack(place: Path, layout: str, tree: str, budget: Budget, prefix: Sequence[str]) -> None:
    """Unpack the staged image in `place`/`layout` into the new directory `place`/`tree` with umoci(1).

    Raises ScanError when it fails, takes too long or the disk is full. Names are relative, since umoci takes
    what follows a colon for a tag.
    """
    command = [*prefix, *_bounded(budget.limit), "umoci", "--log", "error", "raw", "unpack"]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [*command, "--image", f"{layout}:{TAG}", tree],
            cwd=place,
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(place), "TMPDIR": str(place)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                budget.check_time()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL_SECONDS)
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            errors.seek(0)
            raise _failure(errors.read(100_000).decode(errors="replace"), process.returncode, place.parent)


def _bounded(size: int) -> list[str]:
    """Return what to put before a command so that it ends with us and writes no file above `size` bytes."""
    return ["setpriv", "--pdeathsig", "KILL", "--", "prlimit", f"--fsize={size}", "--"]


def _failure(said: str, status: int, directory: Path) -> ScanError:
    if "no space left on device" in said or "disk quota exceeded" in said:
        return no_room(directory)
    lines = [line.strip(" \t\u2a2f") for line in said.splitlines() if line.strip()]
    cause = lines[0][:300] if lines else f"status {status}"
    return ScanError(f"the image could not be unpacked: {cause}", "is it one that a runtime can start?")
