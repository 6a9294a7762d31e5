"""Somebody between agent and client changes a byte, drops a frame, or cuts the tail off."""

from __future__ import annotations

import pytest

from tests.hostile.streams.peer import PASSED, RESULT, end, file, frame, tell, trusting
from toolkit.agent.stream import Kind
from toolkit.errors import ScanError

FAILED = frame(Kind.RESULT, PASSED | {"exit_status": 100}) + RESULT[len(frame(Kind.RESULT, PASSED)) :]
SENT = file("report.json", b'{"status": "failed"}') + FAILED
WAYS = {
    "changed": SENT.replace(b'"failed"', b'"passed"'),
    "dropped": SENT.replace(file("report.json", b'{"status": "failed"}'), b""),
    "added": SENT + frame(Kind.RESULT, PASSED),
    "moved": FAILED + file("report.json", b'{"status": "failed"}'),
}


@pytest.mark.parametrize("way", WAYS)
def test_it_is_noticed(works, tmp_path, way):
    works(trusting(tmp_path, WAYS[way])["complete"], "who trusts the stream takes what it was made to")
    (tmp_path / "client").mkdir()
    told = tell(tmp_path / "client", WAYS[way] + end(SENT))
    assert isinstance(told.error, ScanError)
    assert "bytes were sent" in told.error.cause


@pytest.mark.parametrize("part", [1, 4, 6, len(SENT) // 2, len(SENT) - 1])
def test_what_is_cut_off_is_no_result(tmp_path, part):
    told = tell(tmp_path, SENT[:part])
    assert isinstance(told.error, ScanError)
    assert "closed the stream" in told.error.cause


def test_unchanged_it_is_taken(tmp_path):
    told = tell(tmp_path, SENT + end(SENT))
    assert told.error is None
    assert told.outcome.exit_status == 100
    assert (tmp_path / "report.json").read_bytes() == b'{"status": "failed"}'
