"""A directory tree: where each file came from, uniform modes and times, a digest of it all."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

EPOCH = 1735689600
"""Every file's time, 2025-01-01 UTC: two builds of the same versions are to be the same tree."""


class Tree:
    """A tree under construction; remembers which file of the root each of its files was copied from."""

    def __init__(self, root: Path) -> None:
        """Start in `root`, which is created."""
        self.root = root
        self.origin: dict[str, str] = {}
        root.mkdir(parents=True, exist_ok=True)

    def copy(self, source: Path, place: str) -> Path:
        """Copy one file's content and execute bit to `place` (relative); links are followed."""
        target = self.root / place
        target.parent.mkdir(parents=True, exist_ok=True)
        real = source.resolve(strict=True)
        shutil.copyfile(real, target)
        target.chmod(0o755 if real.stat().st_mode & 0o111 else 0o644)
        self.origin[place] = str(real)
        return target

    def copy_tree(self, source: Path, place: str) -> None:
        """Copy every file below `source`."""
        for path in files(source):
            self.copy(path, f"{place}/{path.relative_to(source)}")

    def write(self, place: str, content: str | bytes, *, mode: int = 0o644) -> Path:
        """Write a file of our own."""
        target = self.root / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        target.chmod(mode)
        return target

    def link(self, place: str, to: str) -> None:
        """Make the symbolic link `place` → `to`."""
        target = self.root / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(to)


def files(root: Path) -> Iterator[Path]:
    """Yield every regular file (also through links to files) below `root`, sorted."""
    for directory, subdirectories, names in os.walk(root):
        subdirectories.sort()
        yield from (path for name in sorted(names) if (path := Path(directory, name)).is_file())


def normalise(root: Path) -> None:
    """Give everything one owner, mode 755 or 644, and one time."""
    for directory, subdirectories, names in os.walk(root, topdown=False):
        for name in subdirectories + names:
            _uniform(Path(directory, name))
    _uniform(root)


def _uniform(path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(path, 0, 0, follow_symlinks=False)
    if not path.is_symlink():
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)


def sha256(path: Path) -> str:
    """Return the file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(root: Path) -> str:
    """Return one SHA-256 over names, kinds, execute bits and contents of everything below `root`."""
    total = hashlib.sha256()
    for directory, subdirectories, names in os.walk(root):
        subdirectories.sort()
        for name in sorted(subdirectories + names):
            path = Path(directory, name)
            total.update(f"{path.relative_to(root)}\0{_describe(path)}\n".encode())
    return total.hexdigest()


def _describe(path: Path) -> str:
    if path.is_symlink():
        return f"link {path.readlink()}"
    if path.is_dir():
        return "directory"
    return f"{'program' if path.stat().st_mode & 0o100 else 'file'} {sha256(path)}"


def size(root: Path) -> int:
    """Return the bytes in all files below `root` (apparent size, hard and symbolic links not followed)."""
    return sum(
        path.lstat().st_size
        for directory, _, names in os.walk(root)
        for path in (Path(directory, name) for name in names)
        if not path.is_symlink()
    )
