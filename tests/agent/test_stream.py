"""Frames arrive whole or not at all, whatever the other side does."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.agent.stream import HEADER, MAX_PAYLOAD, Kind, Stream, StreamError


class Pair:
    """Two streams over one socket pair."""

    def __init__(self) -> None:
        self.sockets = socket.socketpair()
        self.left, self.right = (Stream(s.fileno(), s.fileno(), time.monotonic() + 10) for s in self.sockets)

    def close(self) -> None:
        for one in self.sockets:
            one.close()


@pytest.fixture
def pair():
    made = Pair()
    yield made
    made.close()


def test_what_is_sent_arrives_and_is_acknowledged(pair):
    def send() -> None:
        pair.left.send(Kind.PHASE, {"phase": "run"})
        pair.left.send_data(b"x" * 3_000_000)
        pair.left.end()

    sender = threading.Thread(target=send)
    sender.start()
    assert pair.right.expect(Kind.PHASE).json() == {"phase": "run"}
    received = b""
    while (frame := pair.right.receive()).kind is Kind.DATA:
        received += frame.payload
    sender.join()
    assert frame.kind is Kind.END
    assert received == b"x" * 3_000_000


def test_fifty_megabytes_arrive_intact_at_a_slow_reader(pair):
    blob = os.urandom(1 << 20) * 50
    sender = threading.Thread(target=lambda: (pair.left.send_data(blob), pair.left.end()))
    sender.start()
    digest = hashlib.sha256()
    while (frame := pair.right.receive()).kind is Kind.DATA:
        digest.update(frame.payload)
        if len(frame.payload) % 7 == 0:
            time.sleep(0.001)
    sender.join()
    assert digest.digest() == hashlib.sha256(blob).digest()


def test_a_lost_frame_is_noticed(pair):
    pair.left.send(Kind.DATA, b"first")
    os.read(pair.right.read_fd, HEADER.size + 5)  # lost on the way
    pair.left.send(Kind.DATA, b"other")
    pair.left.send(Kind.END, {"bytes": pair.left._sent, "sha256": pair.left._sent_hash.hexdigest()})
    pair.right.expect(Kind.DATA)
    with pytest.raises(StreamError, match="20 bytes were sent and 10 arrived"):
        pair.right.receive()


def test_a_changed_byte_is_noticed(pair):
    pair.left.send(Kind.DATA, b"first")
    pair.left._sent_hash = hashlib.sha256(b"something else")
    pair.left.send(Kind.END, {"bytes": pair.left._sent, "sha256": pair.left._sent_hash.hexdigest()})
    pair.right.expect(Kind.DATA)
    with pytest.raises(StreamError, match="not the same"):
        pair.right.receive()


def test_a_peer_that_closes_or_stays_silent_is_an_error(pair):
    pair.sockets[0].close()
    with pytest.raises(StreamError, match="closed"):
        pair.right.receive()
    silent = Pair()
    silent.right.deadline = time.monotonic() + 0.05
    with pytest.raises(StreamError, match="deadline"):
        silent.right.receive()
    silent.close()


def test_a_reader_that_never_reads_does_not_hold_the_sender(pair):
    pair.left.deadline = time.monotonic() + 0.2
    with pytest.raises(StreamError, match="deadline"):
        pair.left.send_data(b"x" * (64 << 20))


@pytest.mark.parametrize(
    "header", [HEADER.pack(Kind.DATA, MAX_PAYLOAD + 1), HEADER.pack(99, 1), HEADER.pack(0, 0), b"GET /"]
)
def test_what_is_not_the_protocol_is_refused(pair, header):
    os.write(pair.left.write_fd, header)
    with pytest.raises(StreamError, match="protocol"):
        pair.right.receive()


@given(st.binary(max_size=200))
def test_json_frames_are_objects_or_an_error(payload):
    pair = Pair()
    try:
        pair.left.send(Kind.FACTS, payload)
        frame = pair.right.receive()
        with contextlib.suppress(StreamError):
            assert isinstance(frame.json(), dict)
    finally:
        pair.close()


def test_deeply_nested_json_is_an_error(pair):
    pair.left.send(Kind.FACTS, b'{"a":' + b"[" * 200_000)
    with pytest.raises(StreamError, match="not JSON"):
        pair.right.receive().json()


def test_without_hashes_a_lost_frame_is_still_noticed():
    one, other = socket.socketpair()
    with one, other:
        sender = Stream(one.fileno(), one.fileno(), time.monotonic() + 10, hashed=False)
        receiver = Stream(other.fileno(), other.fileno(), time.monotonic() + 10, hashed=False)
        sender.send(Kind.STDOUT, b"said")
        sender._sent += 1
        sender.send(Kind.END, {"bytes": sender._sent, "sha256": sender._sent_hash.hexdigest()})
        assert receiver.receive().payload == b"said"
        with pytest.raises(StreamError, match="bytes were sent and"):
            receiver.receive()


def test_a_sender_notices_a_peer_that_hangs_up_and_leaves_the_line_open():
    """As with exec in a pod: the client is gone, and nobody reads what its end of the pipe still takes."""
    incoming, from_peer = os.pipe()
    to_peer, outgoing = os.pipe()
    stream = Stream(incoming, outgoing, time.monotonic() + 60)
    threading.Timer(0.2, os.close, (from_peer,)).start()
    began = time.monotonic()
    with pytest.raises(StreamError, match="closed"):
        stream.send_data(bytes(4 << 20))
    assert time.monotonic() - began < 30
    for each in (incoming, to_peer, outgoing):
        os.close(each)
