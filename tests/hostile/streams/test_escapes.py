"""An agent's words steer the terminal that shows them: colours, the title, a line drawn over another."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from tests.hostile.streams.peer import RESULT, end, frame, tell
from toolkit import cli_base
from toolkit.agent.stream import HEADER, Kind
from toolkit.reports.text import visible

HOSTILE = "\x1b[2J\x1b]0;owned\x07\rall passed\x9b31m\u202eevil\u2028next [bold]markup[/bold]"
STEERING = "\x1b\x07\r\x9b\u202e\u2028"


@pytest.mark.parametrize("status", [1, 2])
def test_its_failure_is_drawn_not_obeyed(works, tmp_path, monkeypatch, status):
    said = frame(Kind.FAIL, {"cause": HOSTILE, "remedy": HOSTILE, "status": status})
    naive = json.loads(said[HEADER.size :])["cause"]
    works(all(each in naive for each in STEERING), "who prints what was said has the terminal obey it")
    told = tell(tmp_path, said + end(said))
    assert told.error
    shown = io.StringIO()
    monkeypatch.setattr(cli_base, "notes", Console(file=shown, width=200, force_terminal=False))
    cli_base.complain(told.error.cause, told.error.remedy)
    assert not any(each in shown.getvalue() for each in STEERING)
    assert "[bold]markup[/bold]" in shown.getvalue()
    assert "owned" in shown.getvalue()


def test_its_output_is_one_line_of_what_can_be_drawn(tmp_path):
    said = frame(Kind.STDOUT, f"{HOSTILE}\n".encode()) + frame(Kind.STDERR, HOSTILE.encode()) + RESULT
    told = tell(tmp_path, said + end(said))
    assert told.error is None
    for text in (*told.lines, told.outcome.stderr):
        assert not any(each in visible(text) for each in STEERING)
