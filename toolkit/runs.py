"""Where results are kept: a folder a run, in it a folder a target, files 0600, never overwritten."""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from toolkit.errors import CallError, ScanError
from toolkit.reports.files import WRONG_PLACE, write_new


def now() -> str:
    """Return the time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def check_place(reports: Path) -> None:
    """Raise CallError where no folder could be made below `reports`; nothing is made."""
    place = next(path for path in (reports.absolute(), *reports.absolute().parents) if os.path.lexists(path))
    if not place.is_dir():
        raise unwritable(reports, NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)))
    if not os.access(place, os.W_OK | os.X_OK):
        raise unwritable(reports, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def new_folder(reports: Path, target_uri: str) -> Path:
    """Make and return `REPORTS/<UTC time>-<short id>/<target>/`; raises as `unwritable` returns."""
    return target_folder(new_run(reports), target_uri)


def new_run(reports: Path) -> Path:
    """Make and return `REPORTS/<UTC time>-<short id>/`; raises as `unwritable` returns."""
    folder = reports / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    try:
        folder.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise unwritable(reports, error) from None
    return folder


def target_folder(run: Path, target_uri: str) -> Path:
    """Make and return `RUN/<target>/`, `RUN/<target>~2/` where that is taken, and so on; raises likewise."""
    name = _as_file_name(target_uri)
    for number in itertools.count(1):
        folder = run / (name if number == 1 else f"{name}~{number}")
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            continue
        except OSError as error:
            raise unwritable(run.parent, error) from None
        return folder
    raise AssertionError("there is always another number")


def unwritable(path: Path, error: OSError) -> CallError | ScanError:
    """Return the error for a place that takes no files: a wrong place, or one without room."""
    cause = f"results can't be written below {path}: {error.strerror}"
    if error.errno in {*WRONG_PLACE, errno.EEXIST}:
        return CallError(cause, "name a directory you may write to with --report-dir")
    return ScanError(cause, "make room, or name another with --report-dir")


def write_json(path: Path, content: Any) -> None:
    """Write a new JSON file; raises CallError or ScanError as `write_new` does."""
    write_new(json.dumps(content, indent=2).encode() + b"\n", path)


def _as_file_name(uri: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", uri).strip("-.")[:120] or "target"
