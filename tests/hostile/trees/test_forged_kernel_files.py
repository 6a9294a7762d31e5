"""A tree brings files of its own where the kernel's should be, with the values that a profile asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.naive import tool
from tests.hostile.trees.ways import output

pytestmark = [pytest.mark.root, pytest.mark.bundle]

FILES = ("proc/sys/kernel/randomize_va_space", "proc/cmdline", "proc/1/status", "sys/kernel/security/lsm")
FORGED = "as a profile wants it"


def _plant(root: Path) -> None:
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{FORGED}\n")


@pytest.mark.parametrize("kind", ["rootfs", "image"])
def test_the_kernels_own_are_read(works, planted, scan, kind):
    uri, tree = planted(kind, _plant)
    said = output(tool("chroot"), tree, "/proc/cmdline") + output(
        tool("cat"), *[tree / name for name in FILES]
    )
    works(said.count(FORGED) == len(FILES), "a script that reads the tree believes them")
    script = "; ".join(f"{BIN}/head -n1 /{name}" for name in FILES)
    attempt = scan(uri, f"{script}; {BIN}/sysctl -n kernel.randomize_va_space")
    assert attempt.outcome.complete, attempt.error
    real = Path("/", FILES[0]).read_text().strip()
    assert FORGED not in attempt.lines
    assert (attempt.lines[0], attempt.lines[-1]) == (real, real)
