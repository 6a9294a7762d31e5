"""An agent sends what has no place where it comes: content of no file, a file within another, a job."""

from __future__ import annotations

import pytest

from tests.hostile.streams.peer import HELLO, RESULT, end, file, frame, tell, trusting
from toolkit.agent.stream import HEADER, Kind
from toolkit.errors import ScanError

WAYS = {
    "content of no file": frame(Kind.DATA, b"x"),
    "a file within another": frame(Kind.FILE, {"name": "one", "size": 9}) + file("two", b"x"),
    "an end within a file": frame(Kind.FILE, {"name": "one", "size": 9}) + end(b""),
    "more than announced": file("one", b"xxxx", 2),
    "a second greeting": HELLO,
    "a job": frame(Kind.JOB, {"argv": ["sh"]}),
    "an acknowledgement": frame(Kind.ACK, {}),
    "an unknown kind": HEADER.pack(77, 0),
    "a frame that is too long": HEADER.pack(Kind.STDOUT, 0xFFFFFFFF),
}


@pytest.mark.parametrize("way", WAYS)
def test_it_ends_the_conversation(works, tmp_path, way):
    for name in ("naive", "client"):
        (tmp_path / name).mkdir()
    works(trusting(tmp_path / "naive", WAYS[way] + RESULT) or "long" in way, "a reader that skips it goes on")
    said = WAYS[way] + RESULT
    told = tell(tmp_path / "client", said + end(said))
    assert isinstance(told.error, ScanError)
    assert told.error.cause.startswith("the agent's stream broke off: ")
    assert "\n" not in told.error.cause
