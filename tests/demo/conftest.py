"""Targets that are taken down after a test, and a cache that is empty before it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from toolkit.demo import targets


@pytest.fixture
def started() -> Iterator[list[str]]:
    """Collect names of targets that a test starts; they are taken down whatever happens."""
    names: list[str] = []
    yield names
    for name in names:
        targets.down(name)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a cache directory that is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"
