"""Pins, the archive that has moved on, and an archive that can't be reached."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from toolkit.demo import packages
from toolkit.errors import ScanError


def test_lock_pins_every_package_of_every_image() -> None:
    lock = json.loads(packages.LOCK.read_text())
    for suite, extra in (("bookworm", {"libssl3"}), ("trixie", {"libssl3t64", "tzdata-legacy"})):
        for arch in ("amd64", "arm64"):
            pins = lock[suite][arch]
            assert {
                "base-files",
                "netbase",
                "tzdata",
                "media-types",
                "ca-certificates",
                "libc6",
            } | extra <= set(pins)
            assert all(len(pin["sha256"]) == 64 and pin["version"] for pin in pins.values())


def _lock(path: Path, sha256: str, version: str) -> None:
    pin = {"netbase": {"version": version, "sha256": sha256}}
    path.write_text(json.dumps({"bookworm": {packages.architecture(): pin}}))


def test_cached_packages_need_no_archive(
    elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "LOCK", tmp_path / "lock")
    monkeypatch.setenv("BARESCAN_DEBIAN_MIRROR", "http://127.0.0.1:9")
    _lock(tmp_path / "lock", "0" * 64, "1")
    wanted = packages.Package("netbase", "1", "0" * 64)
    wanted.path.write_bytes(b"deb")
    assert packages.fetch("bookworm", ["netbase"]) == [wanted]


def test_unreachable_archive_is_an_error_with_the_way_out(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BARESCAN_DEBIAN_MIRROR", "http://127.0.0.1:9")
    with pytest.raises(ScanError, match="BARESCAN_DEBIAN_MIRROR"):
        packages.fetch("bookworm", ["netbase"])


@pytest.mark.slow
def test_pin_that_left_the_archive_is_replaced_with_a_notice_and_only_once(
    elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "LOCK", tmp_path / "lock")
    _lock(tmp_path / "lock", "0" * 64, "0.1")
    said: list[str] = []
    (found,) = packages.fetch("bookworm", ["netbase"], said.append)
    assert any("netbase 0.1 has left the archive" in line for line in said)
    assert found.path.read_bytes().startswith(b"!<arch>")
    monkeypatch.setenv("BARESCAN_DEBIAN_MIRROR", "http://127.0.0.1:9")
    assert packages.fetch("bookworm", ["netbase"]) == [found]
