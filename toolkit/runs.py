"""Where results are kept: a folder a run, in it a folder a target, files 0600, never overwritten."""

from __future__ import annotations

import json
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from toolkit.errors import ScanError
from toolkit.reports.files import write_new


def now() -> str:
    """Return the time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_folder(reports: Path, target_uri: str) -> Path:
    """Make and return `REPORTS/<UTC time>-<short id>/<target>/`; raises ScanError when it can't be."""
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    folder = reports / name / _as_file_name(target_uri)
    try:
        folder.mkdir(parents=True, mode=0o700)
    except OSError as error:
        raise unwritable(reports, error) from None
    return folder


def unwritable(path: Path, error: OSError) -> ScanError:
    """Return the error for a place that takes no files."""
    return ScanError(
        f"results can't be written below {path}: {error.strerror}",
        "make room, or name another with --report-dir",
    )


def write_json(path: Path, content: Any) -> None:
    """Write a new JSON file; raises CallError or ScanError as `write_new` does."""
    write_new(json.dumps(content, indent=2).encode() + b"\n", path)


def _as_file_name(uri: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", uri).strip("-.")[:120] or "target"
