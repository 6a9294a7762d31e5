"""Something else answers in the agent's place: another version, a shell, an echo."""

from __future__ import annotations

import pytest

from tests.hostile.streams.peer import RESULT, end, frame, tell, trusting
from toolkit.agent.stream import VERSION, Kind
from toolkit.errors import ScanError

HELLOS = {
    "another agent": frame(Kind.HELLO, {"version": VERSION, "agent": "0" * 64}),
    "no agent": frame(Kind.HELLO, {"version": VERSION}),
    "not text": frame(Kind.HELLO, {"version": VERSION, "agent": ["x"]}),
    "a shell": b"sh: 1: not found\n",
    "a web server": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "nothing": b"",
    "noise": bytes(range(256)) * 10,
}


@pytest.mark.parametrize("who", HELLOS)
def test_it_is_given_no_job(works, tmp_path, who):
    works(trusting(tmp_path, RESULT)["complete"], "who asks nobody's name takes the answer of anybody")
    told = tell(tmp_path, RESULT + end(RESULT, HELLOS[who]), hello=HELLOS[who])
    assert isinstance(told.error, ScanError)
    assert not told.outcome.complete
    assert "another version" in told.error.cause or "broke off" in told.error.cause
