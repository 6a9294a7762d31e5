"""An agent says that all is well and goes, without the end that would be checked."""

from __future__ import annotations

import pytest

from tests.hostile.streams.peer import RESULT, end, tell, trusting
from toolkit.errors import ScanError


@pytest.mark.parametrize("hold", [False, True])
def test_it_is_no_result(works, tmp_path, hold):
    works(trusting(tmp_path, RESULT)["complete"], "who takes the last JSON that came believes it")
    told = tell(tmp_path, RESULT, hold=hold, seconds=1)
    assert isinstance(told.error, ScanError)
    assert "broke off" in told.error.cause
    honest = tell(tmp_path, RESULT + end(RESULT))
    assert honest.error is None
    assert honest.outcome.complete
