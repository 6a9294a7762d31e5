"""An agent sends JSON that costs more than it weighs: nested deeply, or a number of a million digits."""

from __future__ import annotations

import json

import pytest

from tests.hostile.streams.peer import HELLO, end, frame, tell
from toolkit.agent.stream import MAX_PAYLOAD, Kind
from toolkit.errors import ScanError

BOMBS: dict[str, str | bytes] = {
    "nested lists": '{"a":' + "[" * 200_000,
    "nested objects": '{"a":' * 200_000,
    "closed": '{"a":' + "[" * 200_000 + "]" * 200_000 + "}",
    "a long number": '{"a":' + "9" * 1_000_000 + "}",
    "no text": b'{"a": "\xff\xfe"}',
    "no object": "[1, 2]",
    "nothing": "",
}
KINDS = (Kind.FACTS, Kind.FILE, Kind.RESULT, Kind.FAIL)


def _breaks(text: str | bytes) -> bool:
    try:
        return not isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return True


@pytest.mark.parametrize("bomb", BOMBS)
def test_it_ends_the_conversation(works, tmp_path, bomb):
    works(_breaks(BOMBS[bomb]), "a reader that only parses it ends in an exception, or has no object")
    assert len(BOMBS[bomb]) <= MAX_PAYLOAD
    for kind in KINDS:
        told = tell(tmp_path, frame(kind, BOMBS[bomb]))
        assert isinstance(told.error, ScanError)
        assert "not JSON" in told.error.cause or "not a JSON object" in told.error.cause
    for where in ("hello", "end"):
        spoilt = frame(Kind.HELLO if where == "hello" else Kind.END, BOMBS[bomb])
        told = tell(tmp_path, spoilt, hello=spoilt if where == "hello" else HELLO)
        assert isinstance(told.error, ScanError)


def test_a_key_that_comes_twice_is_one(tmp_path):
    said = frame(Kind.RESULT, '{"exit_status": 1, "seconds": 1, "complete": true, "complete": false}')
    told = tell(tmp_path, said + end(said))
    assert told.error is None
    assert not told.outcome.complete
