"""The name of a tree is to choose what it is an overlay of."""

from __future__ import annotations

import os

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.trees.ways import SECRET, empty, privately

pytestmark = [pytest.mark.root, pytest.mark.bundle]

MOUNT = 'mount -t overlay overlay -o "ro,lowerdir=$1" /mnt && cat /mnt/secret /mnt/file'


@pytest.mark.parametrize("name", [b"tree:{secret}", b"tree\xff,lowerdir={secret}:.", b"tree\\:{secret}"])
def test_it_is_only_a_name(works, scan, tmp_path, monkeypatch, name):
    (tmp_path / "tree").mkdir()
    host = tmp_path / "secret"
    host.mkdir()
    (host / "secret").write_text(f"{SECRET}\n")
    tree = tmp_path / os.fsdecode(name.replace(b"{secret}", b"secret"))
    empty(tree)
    (tree / "file").write_text("content\n")
    monkeypatch.chdir(tmp_path)
    works("content" not in privately(MOUNT, tree.name), "a script's overlay is one of something else")
    attempt = scan(f"rootfs://{tree}", f"{BIN}/cat /file /secret; {BIN}/ls -d /tree")
    assert attempt.lines == ["content"]
