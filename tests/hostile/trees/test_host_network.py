"""A tree that is not running shows nothing of the host's network."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.conftest import BIN

pytestmark = [pytest.mark.root, pytest.mark.bundle]


def test_only_the_loopback_interface_is_seen(scan, tmp_path):
    for name in ("proc", "sys", "dev", "etc"):
        (tmp_path / name).mkdir()
    script = f"{BIN}/ls /sys/class/net; {BIN}/ip -o link | {BIN}/wc -l"
    assert scan(f"rootfs://{tmp_path}", script).lines == ["lo", "1"]
    assert "lo" in [entry.name for entry in Path("/sys/class/net").iterdir()]
