"""What the tests of whole scans share: the command line as users call it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


class Barescan:
    """The command in a directory of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "invoke", "--search-root", str(ROOT), *arguments]

    def __call__(self, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), cwd=self.folder, capture_output=True, text=True, check=False, **options
        )

    def scans(self) -> list[Path]:
        """Return the folders of scans that left a record."""
        return [path.parent for path in sorted(self.folder.glob("reports/*/*/scan.json"))]


@pytest.fixture
def barescan(tmp_path):
    return Barescan(tmp_path)
