"""What a conversation that broke off says of whether it is worth another try."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest

from toolkit.agent.stream import Kind, Stream, StreamError
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


def _said(tmp_path, *frames: tuple[Kind, bytes]) -> Outcome:
    """Return what is made of frames of an agent, which is a double here: a real one sends no such frames."""
    ours, theirs = socket.socketpair()
    outcome = Outcome()
    with ours, theirs:
        agent = Stream(theirs.fileno(), theirs.fileno(), time.monotonic() + 20)
        client = Stream(ours.fileno(), ours.fileno(), time.monotonic() + 20)

        def answer() -> None:
            while agent.receive().kind is not Kind.END:
                pass
            with contextlib.suppress(StreamError):  # a client that is told nonsense hangs up
                for kind, payload in frames:
                    agent.send(kind, payload)
                agent.end()

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            converse(Connection(client, hello={}), {"outputs": ["a"]}, (), tmp_path, print, outcome)
        finally:
            ours.shutdown(socket.SHUT_RDWR)
            thread.join()
    return outcome


_DEEP = b'{"x": ' + b"[" * 500 + b"]" * 500 + b"}"


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (Kind.FACTS, _DEEP),
        (Kind.FACTS, b'{"x": NaN}'),
        (Kind.FACTS, b'{"x": 1e999}'),
        (Kind.FACTS, b'{"x": ' + b"9" * 100_000 + b"}"),
        (Kind.FACTS, b"[]"),
        (Kind.RESULT, b'{"exit_status": "0", "seconds": 1}'),
        (Kind.RESULT, b'{"exit_status": 0}'),
        (Kind.RESULT, b'{"exit_status": 0, "seconds": NaN}'),
        (Kind.RESULT, b'{"exit_status": 0, "seconds": 1e999}'),
        (Kind.FILE, b"{}"),
        (Kind.FILE, b'{"name": 1, "size": 1}'),
        (Kind.FILE, b'{"name": "", "size": 1}'),
        (Kind.FILE, b'{"name": "a\\u0000", "size": 1}'),
        (Kind.FILE, b'{"name": "../a", "size": 1}'),
        (Kind.FILE, b'{"name": "a\\n", "size": 1}'),
        (Kind.FILE, b'{"name": "a", "size": "1"}'),
        (Kind.FILE, b'{"name": "a", "size": -1}'),
        (Kind.FILE, b'{"name": "a", "size": 1e999}'),
        (Kind.FILE, b'{"name": "a", "size": 999999999999}'),
        (Kind.FILE, b'{"name": "' + b"a" * 300 + b'", "size": 1}'),
    ],
)
def test_what_an_agent_should_not_say_ends_the_conversation(tmp_path, kind, payload):
    with pytest.raises(ScanError, match="stream broke off") as caught:
        _said(tmp_path, (kind, payload))
    assert len(caught.value.cause) < 300
    assert list(tmp_path.iterdir()) == []


def test_an_output_is_sent_once(tmp_path):
    once = ((Kind.FILE, b'{"name": "a", "size": 1}'), (Kind.DATA, b"x"))
    assert _said(tmp_path, *once).outputs == {"a": tmp_path / "a"}
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(ScanError, match="output 'a' was not asked for"):
        _said(other, *once, *once)


def test_facts_as_an_agent_sends_them_are_taken(tmp_path):
    facts = b'{"os_release": {"ID": "a\\u001b]0;x"}, "distroless": true, "sizes": [1, 2.5, null]}'
    assert _said(tmp_path, (Kind.FACTS, facts)).facts["sizes"] == [1, 2.5, None]


@pytest.mark.parametrize("cause", [b'"' + b"x" * 400_000 + b'"', b"[[[[1]]]]", b"null", b"7"])
def test_words_of_an_agent_are_words_and_not_too_many(tmp_path, cause):
    with pytest.raises(ScanError) as caught:
        _said(tmp_path, (Kind.FAIL, b'{"status": 2, "cause": ' + cause + b', "remedy": ' + cause + b"}"))
    assert caught.value.cause[:500] in {"x" * 500, "the agent gave up and did not say why"}
    assert max(len(caught.value.cause), len(caught.value.remedy)) <= 600


def test_an_end_that_is_made_to_break_the_message_about_it_is_told(tmp_path):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        agent = Stream(theirs.fileno(), theirs.fileno(), time.monotonic() + 20)
        agent.send(Kind.END, b'{"bytes": ' + b"[" * 900 + b"]" * 900 + b"}")
        with pytest.raises(StreamError):
            Stream(ours.fileno(), ours.fileno(), time.monotonic() + 20).receive()
