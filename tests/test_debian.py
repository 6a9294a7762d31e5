"""Which archive a suite is fetched from: the one that was chosen, else the one that mmdebstrap knows."""

from __future__ import annotations

import shutil

import pytest

from toolkit import debian
from toolkit.errors import ScanError


@pytest.fixture(autouse=True)
def _keyring(monkeypatch, tmp_path):
    (tmp_path / "keyring.gpg").write_bytes(b"")
    monkeypatch.setattr(debian, "KEYRING", tmp_path / "keyring.gpg")
    monkeypatch.delenv(debian.MIRROR_VARIABLE, raising=False)


def test_a_chosen_mirror_serves_suite_updates_and_security(monkeypatch):
    monkeypatch.setenv(debian.MIRROR_VARIABLE, "http://mirror.example/")
    assert [line.partition("] ")[2] for line in debian.sources("trixie")] == [
        "http://mirror.example/debian trixie main",
        "http://mirror.example/debian trixie-updates main",
        "http://mirror.example/debian-security trixie-security main",
    ]


@pytest.mark.skipif(shutil.which("mmdebstrap") is None, reason="mmdebstrap is not installed")
def test_without_one_mmdebstrap_is_asked():
    lines = debian.sources("trixie")
    assert all(line.startswith(f"deb [signed-by={debian.KEYRING}] http") for line in lines)
    assert [line.split()[-2] for line in lines] == ["trixie", "trixie-updates", "trixie-security"]


def test_what_is_missing_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ScanError, match="mmdebstrap is not installed"):
        debian.sources("trixie")
    monkeypatch.setattr(debian, "KEYRING", tmp_path / "none.gpg")
    with pytest.raises(ScanError, match=r"none\.gpg"):
        debian.sources("trixie")
