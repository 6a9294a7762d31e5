"""An agent sends facts, output and complaints without end, to fill the client's memory."""

from __future__ import annotations

import json
import tracemalloc

from tests.hostile.streams.peer import RESULT, end, frame, tell, trusting
from toolkit.agent.stream import CHUNK, Kind
from toolkit.errors import ScanError

MANY = 120
LIMIT = 20 << 20


def _facts() -> list[bytes]:
    return [frame(Kind.FACTS, {f"fact {number}": "x" * CHUNK}) for number in range(MANY)]


def test_facts_have_a_bound(works, tmp_path):
    believed = trusting(tmp_path, b"".join(_facts()))
    works(len(json.dumps(believed)) > LIMIT, "who keeps what is said keeps all of it")
    told = tell(tmp_path, _facts())
    assert isinstance(told.error, ScanError)
    assert "MiB of facts" in told.error.cause
    assert len(json.dumps(told.outcome.facts)) < LIMIT


def test_output_without_the_end_of_a_line_is_not_kept(tmp_path):
    said = [frame(kind, b"x" * CHUNK) for kind in (Kind.STDOUT, Kind.STDERR) for _ in range(MANY)]
    whole = b"".join([*said, RESULT])
    closing = end(whole)
    del whole
    tracemalloc.start()
    told = tell(tmp_path, [*said, RESULT, closing])
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert told.error is None
    assert told.lines == []
    assert len(told.outcome.stderr) <= 20_000
    assert most < LIMIT
