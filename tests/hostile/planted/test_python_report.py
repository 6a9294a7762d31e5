"""Python files of the target, planted where a Python that reports an error in its new root reads source."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.planted import python_files

pytestmark = [pytest.mark.root, pytest.mark.bundle]
SOURCE = Path("/planted/source.py")
NOTHING_MORE = "confine.load_nothing_more()"
REPORTS = (
    "os.write(2, confine.describe(error).encode())",
    "raise",
    "b'x'.decode('evil')",
    "traceback.print_exc()",
)


@pytest.mark.parametrize("report", REPORTS)
def test_they_are_not_read(works, bundle, tmp_path, report):
    python_files.plant(tmp_path, bundle, [SOURCE])
    naive = python_files.fail_in(tmp_path, bundle, SOURCE, "pass", "traceback.print_exc()")
    works(python_files.MARK in naive, "Python reads the source, and decodes it with a codec of the target's")
    said = python_files.fail_in(tmp_path, bundle, SOURCE, NOTHING_MORE, report)
    assert python_files.MARK not in said
    assert said
