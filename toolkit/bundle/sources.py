"""Which of our own files decide what a bundle is. Standard library only: a Dockerfile's stage uses it."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
LOCK = HERE / "packages.lock"
INSIDE = ("assemble", "contents", "elf", "gems", "packages", "parts", "rewrites", "scap", "tree")
"""Modules that work inside the root: what they say decides what the base tree is."""
DESCRIBING = ("papers", "provenance", "sbom", "sources")
"""Modules that write what tells about the tree, once it is finished."""


def own_files() -> list[Path]:
    """Return our own sources that go into a bundle: view/*.[ch], ruby/*.rb, the filters of system calls."""
    return sorted([*HERE.glob("view/*.[ch]"), *HERE.glob("ruby/**/*.rb"), HERE / "filters.py"])


def all_files() -> list[Path]:
    """Return every file of ours that has a say in what a bundle is, sorted."""
    modules = (HERE / f"{name}.py" for name in (*INSIDE, *DESCRIBING))
    return sorted([LOCK, *modules, *own_files()])
