"""What the tests with the real auditor share: its profiles, and those that others publish."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

OWN = Path(__file__).parent.parent.parent / "profiles"


@pytest.fixture
def published() -> Callable[[str], Path]:
    """Return the directory of a profile by its name: our own one, or one below BARESCAN_PROFILES."""

    def find(name: str) -> Path:
        if (OWN / name).is_dir():
            return OWN / name
        folder = os.environ.get("BARESCAN_PROFILES", "")
        if not folder:
            pytest.skip(f"needs the profile {name}: BARESCAN_PROFILES names no directory of profiles")
        if not (Path(folder) / name / "inspec.yml").is_file():
            pytest.skip(f"needs the profile {name}, which is not in BARESCAN_PROFILES ({folder})")
        return Path(folder) / name

    return find
