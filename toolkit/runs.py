"""Where results are kept: a folder a run, in it a folder a target, files 0600.

A scan's files are never overwritten. `run.json`, which says of every target of a run how it went, is replaced
as a whole each time one more has ended.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import json
import os
import re
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from toolkit.errors import CallError, ScanError
from toolkit.reports.files import WRONG_PLACE, read_capped, write_new, write_over

RUN_FILE, SCAN_FILE = "run.json", "scan.json"
_LARGEST_RECORD = 64 << 20


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


def new_run(reports: Path) -> Path:
    """Make and return `REPORTS/<UTC time>-<short id>/`; raises as `unwritable` returns."""
    folder = reports / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    try:
        folder.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise unwritable(reports, error) from None
    return folder


def new_folder(run: Path, target_uri: str) -> Path:
    """Make and return a folder for a target, of its own also where its name is taken; raises likewise."""
    name = _as_file_name(target_uri)
    for number in itertools.count(1):
        folder = run / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            continue
        except OSError as error:
            raise unwritable(run.parent, error) from None
        return folder
    raise AssertionError("count never ends")


@contextlib.contextmanager
def held(run: Path) -> Iterator[None]:
    """Hold a run, so that no other process resumes it meanwhile; raises CallError when one is at it."""
    descriptor = os.open(run, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise CallError(f"the run {run} is still at work", "wait until it has ended, or stop it") from None
    except OSError:
        pass  # a file system without locks
    try:
        yield
    finally:
        os.close(descriptor)


def read_run(run: Path) -> dict[str, Any]:
    """Return what `run.json` says; raises CallError when the folder is none of a run."""
    if not (run / RUN_FILE).is_file():
        raise CallError(f"{run} is no run: it has no {RUN_FILE}", "name a folder in reports/")
    try:
        said = json.loads(read_capped(run / RUN_FILE, _LARGEST_RECORD, "record"))
        if [*map(str, (each["uri"] for each in said["targets"]))] and isinstance(said["profile"], str):
            return dict(said)
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    raise CallError(f"{run / RUN_FILE} is not the record of a run", "name the folder of a run")


def read_scan(folder: Path) -> dict[str, Any]:
    """Return a target's `scan.json`, empty where there is none that can be read."""
    try:
        said = json.loads(read_capped(folder / SCAN_FILE, _LARGEST_RECORD, "record"))
    except (CallError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def complete_scans(run: Path) -> dict[str, Path]:
    """Return the folders of the scans in a run that came to their end, by the target's URI."""
    found = {}
    for folder in sorted(path.parent for path in run.glob(f"*/{SCAN_FILE}")):
        said = read_scan(folder)
        target = said.get("target")
        if said.get("complete") is True and isinstance(target, dict) and isinstance(target.get("uri"), str):
            found[target["uri"]] = folder
    return found


def unwritable(path: Path, error: OSError) -> CallError | ScanError:
    """Return the error for a place that takes no files: a wrong place, or one without room."""
    cause = f"results can't be written below {path}: {error.strerror}"
    if error.errno in {*WRONG_PLACE, errno.EEXIST}:
        return CallError(cause, "name a directory you may write to with --report-dir")
    return ScanError(cause, "make room, or name another with --report-dir")


def write_json(path: Path, content: Any) -> None:
    """Write a new JSON file; raises CallError or ScanError as `write_new` does."""
    write_new(json.dumps(content, indent=2).encode() + b"\n", path)


def write_run(run: Path, content: Any) -> None:
    """Write or replace `run.json`, whole at every moment; raises CallError or ScanError."""
    write_over(json.dumps(content, indent=2).encode() + b"\n", run / RUN_FILE)


def _as_file_name(uri: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", uri).strip("-.")[:120] or "target"
