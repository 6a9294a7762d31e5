"""What the roots share that are laid out by hand: files, directories, and libraries borrowed from Debian."""

from __future__ import annotations

import inspect
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from toolkit.demo import cache, distroless, needs, packages

SUITE = "bookworm"
"""Debian suite that programs are borrowed from: only Debian's archive can be counted on."""
Recipe = Callable[[Path, Path, list[packages.Package]], None]


def built(name: str, borrowed: Iterable[str], lay_out: Recipe, progress: cache.Progress) -> Path:
    """Return a cached root made by `lay_out(root, debian, packages)`; `debian` holds what they unpack to.

    Raises ScanError when the host lacks something.
    """
    needs.root("putting a root together")
    fetched = packages.fetch(SUITE, list(borrowed), progress)
    recipes = [inspect.getsource(sys.modules[module]) for module in (__name__, lay_out.__module__)]
    path = cache.folder("roots") / f"{name}-{cache.key([*(each.sha256 for each in fetched), *recipes])}"

    def build(root: Path) -> None:
        progress(f"laying out {name} with programs of Debian {SUITE}")
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".debian-") as debian:
            for package in fetched:
                distroless.unpack(package.path, Path(debian))
            lay_out(root, Path(debian), fetched)

    return cache.built_once(path, build)


def directories(root: Path, names: Iterable[str]) -> None:
    """Make directories of root's, 0755, and those above them."""
    for name in names:
        for path in (*reversed(Path(name).parents[:-1]), Path(name)):
            if not (root / path).exists():
                distroless.directory(root, f"/{path}", 0, 0o755)


def text(root: Path, path: str, content: str, mode: int = 0o644) -> None:
    """Write a text file of root's."""
    distroless.file(root, path, content.encode(), mode)


def copy_libraries(debian: Path, place: Path) -> None:
    """Put the shared libraries of Debian's multiarch directories, and the loader, into one directory."""
    for pattern in ("lib/*-linux-gnu", "usr/lib/*-linux-gnu"):
        for directory in sorted(debian.glob(pattern)):
            for library in sorted(directory.glob("*.so*")):
                target = place / library.name
                if library.is_symlink():
                    target.symlink_to(library.readlink().name)
                else:
                    shutil.copy2(library, target)
