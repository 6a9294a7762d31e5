"""What a conversation that broke off says of whether it is worth another try."""

from __future__ import annotations

import socket
import time

import pytest

from toolkit.agent.stream import Stream
from toolkit.errors import ScanError
from toolkit.runtimes.base import Connection
from toolkit.runtimes.session import Outcome, converse


def _broken(tmp_path, *, closed: bool) -> ScanError:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = Connection(Stream(ours.fileno(), ours.fileno(), time.monotonic() + 0.2), hello={})
        if closed:
            theirs.close()
        with pytest.raises(ScanError, match="stream broke off") as caught:
            converse(connection, {}, (), tmp_path, print, Outcome())
        return caught.value


def test_a_stream_that_was_closed_is_worth_another_try(tmp_path):
    assert _broken(tmp_path, closed=True).transient


def test_a_deadline_that_has_passed_is_not(tmp_path):
    error = _broken(tmp_path, closed=False)
    assert "deadline" in error.cause
    assert not error.transient
