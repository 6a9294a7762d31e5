"""Where demo roots are kept: by content, built once, moved into place whole."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import filelock
import platformdirs

Progress = Callable[[str], None]


def silent(_text: str) -> None:
    """Take progress lines and show none."""


def folder(name: str) -> Path:
    """Return a folder of the demo's cache, made if need be; XDG_CACHE_HOME moves it."""
    path = platformdirs.user_cache_path("barescan") / "demo" / name
    path.mkdir(mode=0o755, parents=True, exist_ok=True)
    return path


def key(parts: Iterable[str]) -> str:
    """Return a short name for a content made from `parts`."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def built_once(path: Path, build: Callable[[Path], None]) -> Path:
    """Return `path`, made by `build(directory)` on the first call; concurrent callers wait for the first."""
    if path.exists():
        return path
    with filelock.FileLock(path.with_name(path.name + ".lock")):
        if path.exists():
            return path
        unfinished = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        try:
            unfinished.chmod(0o755)
            build(unfinished)
            unfinished.rename(path)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
    return path
