"""An agent gives more than one answer: a failure that is followed by a pass, a result before the end."""

from __future__ import annotations

from tests.hostile.streams.peer import RESULT, end, frame, tell, trusting
from toolkit.agent.stream import Kind
from toolkit.errors import ScanError

FAIL = frame(Kind.FAIL, {"cause": "the target ended during the scan", "status": 2})


def test_a_failure_is_not_taken_back(works, tmp_path):
    works(trusting(tmp_path, FAIL + RESULT)["complete"], "the last answer wins where each is believed")
    for said in (FAIL + RESULT, RESULT + FAIL, RESULT + FAIL + RESULT):
        told = tell(tmp_path, said + end(said))
        assert isinstance(told.error, ScanError)
        assert told.error.cause == "the target ended during the scan"


def test_complete_is_only_what_says_so_last_and_plainly(tmp_path):
    for word in ('"yes"', "1", "null", "[true]"):
        said = RESULT + frame(Kind.RESULT, f'{{"complete": {word}}}')
        told = tell(tmp_path, said + end(said))
        assert told.error is None
        assert not told.outcome.complete
