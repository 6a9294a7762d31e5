"""What tests of images share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.images.saved import Saved


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    """A small auditor image as `docker save` writes it."""
    return Saved(tmp_path / "saved")
