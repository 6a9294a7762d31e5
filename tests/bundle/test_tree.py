"""Trees: uniform times and modes, and a digest that sees every difference that matters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from toolkit.bundle.tree import EPOCH, Tree, digest, files, normalise, size


def make(root: Path) -> Path:
    """Return a small tree."""
    tree = Tree(root)
    tree.write("bin/program", "#!\n", mode=0o755)
    tree.write("etc/data", "text")
    tree.link("bin/alias", "program")
    return root


def rename(root: Path) -> None:
    (root / "etc" / "data").rename(root / "etc" / "date")


def relink(root: Path) -> None:
    (root / "bin" / "alias").unlink()
    (root / "bin" / "alias").symlink_to("other")


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda root: (root / "etc" / "data").write_text("Text"),
    "execute bit": lambda root: (root / "etc" / "data").chmod(0o755),
    "name": rename,
    "link": relink,
    "empty directory": lambda root: (root / "job").mkdir(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_digest_sees_the_change(tmp_path: Path, change: Callable[[Path], object]) -> None:
    one, two = make(tmp_path / "one"), make(tmp_path / "two")
    assert digest(one) == digest(two)
    change(two)
    assert digest(one) != digest(two)


def test_normalise_makes_modes_and_times_uniform(tmp_path: Path) -> None:
    root = make(tmp_path / "tree")
    (root / "etc" / "data").chmod(0o600)
    (root / "bin" / "program").chmod(0o4711)
    normalise(root)
    assert (root / "etc" / "data").stat().st_mode & 0o7777 == 0o644
    assert (root / "bin" / "program").stat().st_mode & 0o7777 == 0o755
    assert {int(path.lstat().st_mtime) for path in [root, *root.rglob("*")]} == {EPOCH}


def test_copy_follows_links_and_remembers_the_origin(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("x")
    (tmp_path / "link").symlink_to("real")
    tree = Tree(tmp_path / "tree")
    tree.copy(tmp_path / "link", "lib/name")
    assert not (tree.root / "lib" / "name").is_symlink()
    assert tree.origin == {"lib/name": str(tmp_path / "real")}


def test_size_counts_a_link_not_twice(tmp_path: Path) -> None:
    assert size(make(tmp_path / "tree")) == len("#!\n") + len("text")


def test_files_are_sorted(tmp_path: Path) -> None:
    root = make(tmp_path / "tree")
    assert [path.name for path in files(root)] == ["alias", "program", "data"]
