"""An agent lies about sizes and numbers: negative ones, huge ones, some that are none."""

from __future__ import annotations

import pytest

from tests.hostile.streams.peer import RESULT, end, frame, tell
from toolkit.agent.stream import Kind
from toolkit.errors import ScanError

SIZES = [
    "-1",
    "-9e99",
    "1e400",
    "NaN",
    "Infinity",
    str(1 << 62),
    "1" * 5000,
    '"x"',
    "null",
    "[1]",
    "{}",
    '"1_0"',
    "true",
    "1.5",
]
RESULTS = [
    '{"exit_status": "x", "seconds": 1}',
    '{"exit_status": NaN, "seconds": 1}',
    '{"exit_status": 1e400, "seconds": 1}',
    '{"exit_status": 0}',
    '{"exit_status": 0, "seconds": "x"}',
    '{"exit_status": null, "seconds": null}',
]


def _naive_budget(size: str) -> int:
    """What is left of 300 MiB where the size is only taken off."""
    return (300 << 20) - int(size)


@pytest.mark.parametrize("size", SIZES)
def test_no_file_has_it(works, tmp_path, size):
    works(_naive_budget("-99999999999") > 300 << 20, "a negative size leaves more than there was")
    said = frame(Kind.FILE, f'{{"name": "report", "size": {size}}}') + RESULT
    told = tell(tmp_path, said + end(said))
    assert isinstance(told.error, ScanError)
    assert "broke off" in told.error.cause


@pytest.mark.parametrize("about", ["{}", '{"name": "x"}', '{"size": 1}', "[]", "null", "x", ""])
def test_an_output_has_both_a_name_and_a_size(tmp_path, about):
    told = tell(tmp_path, frame(Kind.FILE, about))
    assert isinstance(told.error, ScanError)


@pytest.mark.parametrize("result", RESULTS)
def test_a_result_has_numbers(tmp_path, result):
    said = frame(Kind.RESULT, result)
    told = tell(tmp_path, said + end(said))
    assert isinstance(told.error, ScanError)
    assert "broke off" in told.error.cause
