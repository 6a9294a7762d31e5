"""A tree that has the bundle's own place already: programs, loader and preload list of the attacker's."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.naive import visit
from tests.hostile.planted import payload

pytestmark = [pytest.mark.root, pytest.mark.bundle]
PLACE = "sys/firmware"


def _plant(root: Path, names: list[str]) -> None:
    for name in names:
        payload.program(root / PLACE / "bin" / name)
    payload.library(root / PLACE / "lib/libbarescan-view.so")
    payload.freestanding(root / PLACE / "lib/ld-linux-x86-64.so.2")
    payload.write(root, f"/{PLACE}/pre", f"/{PLACE}/lib/libbarescan-view.so\n")
    payload.write(root, "/etc/issue", "true content\n")
    for name in ("proc", "dev", "tmp"):
        (root / name).mkdir()


def _content(root: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(root)): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in root.rglob("*")
    }


@payload.both
def test_it_is_covered(works, scan, tmp_path, exec_allowed):
    root = tmp_path / "tree"
    _plant(root, ["env", "bash", "cat", "ls"])
    for place in (*tmp_path.parents[:2], tmp_path, root):
        place.chmod(0o755)
    naive = visit(root, [f"{BIN}/cat", "/etc/issue"])
    works(naive.owned and payload.SHOUT in naive.complaint, "a tool that is brought unless there is one")
    before = _content(root)
    script = f"cat /etc/issue; ls -A /{PLACE}; ls {BIN}/../tmp"
    attempt = scan(f"rootfs://{root}", script, outputs=(payload.MARKED,), allow_target_exec=exec_allowed)
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == ["true content"]
    assert payload.SHOUT not in attempt.outcome.stderr
    assert attempt.outputs == {}
    assert _content(root) == before
