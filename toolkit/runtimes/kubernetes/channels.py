"""One exec as a duplex byte stream: the channels of `pods/exec`, which share one websocket.

The first byte of a message is its channel (KEP-4006: v5.channel.k8s.io): 0 to 2 are the standard streams, 3
is the status at the end, 255 closes a channel. The client's own reader copies all that has come with each
message, and its tail was seen to be lost when it was slow; so messages are taken from the websocket here.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

from websocket import ABNF, WebSocketException

from toolkit.agent.stream import Stream
from toolkit.runtimes.base import Connection

_STDIN, _STDOUT, _STDERR, _STATUS = b"\0", 1, 2, 3
_CHUNK = 1 << 15
_MOST_WAITING = 1 << 20  # in either direction; beyond it the other side has to wait
_LARGEST_MESSAGE = 1 << 24
_LONGEST_COMPLAINT = 4000
_ENDING_SECONDS = 5.0  # for what was said last to arrive, once the client has closed its end
_LATER = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


@contextlib.contextmanager
def conversation(started: Any) -> Iterator[Connection]:
    """Give the streams of a command that was started by exec; its standard input is closed afterwards.

    `started` is the client's WSClient. A thread carries the bytes.
    """
    ours, theirs = socket.socketpair()
    connection = Connection(Stream(ours.fileno(), ours.fileno()))
    carrier = threading.Thread(target=_Carrier(started.sock, theirs, connection).carry, daemon=True)
    carrier.start()
    try:
        yield connection
    finally:
        with contextlib.suppress(OSError):
            ours.shutdown(socket.SHUT_RDWR)
        carrier.join(_ENDING_SECONDS + 1)
        ours.close()


class _TooLargeError(WebSocketException):
    """A message is announced that nobody should hold."""


class _Carrier:
    """Carries bytes between a websocket and a socket of ours, neither faster than the slower one takes them.

    One thread for both directions: a TLS connection may not be read and written by two at once.
    """

    def __init__(self, websocket: Any, end: socket.socket, connection: Connection) -> None:
        self._websocket = websocket
        self._read = websocket.frame_buffer.recv
        websocket.frame_buffer.recv = self._read_some
        self._socket: Any = websocket.sock
        self._end = end
        self._connection = connection
        self._outgoing = bytearray()
        self._incoming = bytearray()
        self._channel = 0
        self._status = b""
        self._listening = True  # the server's side of the websocket is open
        self._closed_at: float | None = None  # when our own end was closed

    def carry(self) -> None:
        """Carry until both ends are closed; what the server said at the end becomes the complaint."""
        self._websocket.settimeout(0)
        self._end.setblocking(False)
        try:
            while self._listening or self._incoming:
                if self._closed_at is not None and (
                    not self._outgoing or time.monotonic() > self._closed_at + _ENDING_SECONDS
                ):
                    break
                self._turn()
        except (OSError, WebSocketException) as error:
            self._status = self._status or str(error).encode()
        finally:
            self._connection.complaint = self._connection.complaint or _message(self._status)
            self._websocket.shutdown()
            self._end.close()

    def _turn(self) -> None:
        room = len(self._incoming) < _MOST_WAITING
        if room and self._listening and self._decrypted():
            self._receive()
        poll = select.poll()
        self._register(poll, room=room)
        for number, event in poll.poll(1000):
            if number == self._end.fileno():
                self._serve_end(event)
            elif event & select.POLLOUT:
                self._send()
                if event & select.POLLIN:
                    self._receive()
            else:
                self._receive()

    def _register(self, poll: select.poll, *, room: bool) -> None:
        if self._listening:
            events = (select.POLLIN if room else 0) | (select.POLLOUT if self._outgoing else 0)
            if events:
                poll.register(self._socket.fileno(), events)
        if self._closed_at is None:
            events = select.POLLIN if len(self._outgoing) < _MOST_WAITING else 0
            poll.register(self._end.fileno(), events | (select.POLLOUT if self._incoming else 0))

    def _decrypted(self) -> bool:
        """Return whether TLS has bytes that were read from the kernel already, which no poll tells of."""
        return isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0

    def _serve_end(self, event: int) -> None:
        if event & select.POLLIN:
            data = self._end.recv(_CHUNK)
            if data:
                self._say(_STDIN + data, ABNF.OPCODE_BINARY)
            else:
                self._close_end()
        elif event & (select.POLLHUP | select.POLLERR):
            self._close_end()
        if event & select.POLLOUT and self._incoming:
            try:
                del self._incoming[: self._end.send(self._incoming)]
            except OSError:
                self._close_end()

    def _close_end(self) -> None:
        self._closed_at = self._closed_at or time.monotonic()
        self._incoming.clear()

    def _say(self, content: bytes, kind: int) -> None:
        self._outgoing += ABNF.create_frame(content, kind).format()

    def _send(self) -> None:
        try:
            del self._outgoing[: self._socket.send(self._outgoing)]
        except _LATER:
            pass
        except OSError:
            self._outgoing.clear()  # nobody takes it; what was said before may still be read

    def _receive(self) -> None:
        """Take what messages have come, as far as there is room."""
        while self._listening and len(self._incoming) < _MOST_WAITING:
            try:
                frame = self._websocket.recv_frame()
            except _LATER:
                return
            except _TooLargeError:
                raise
            except (OSError, WebSocketException):
                self._hang_up()
                return
            self._take(frame)

    def _read_some(self, size: int) -> bytes:
        """Read for the websocket, which else would gather a message of any length as fast as it comes."""
        if (self._websocket.frame_buffer.length or 0) > _LARGEST_MESSAGE:
            raise _TooLargeError("the API server sent a message that is too large")
        data: bytes = self._read(size)
        return data

    def _take(self, frame: ABNF) -> None:
        data = frame.data.encode() if isinstance(frame.data, str) else frame.data
        if frame.opcode == ABNF.OPCODE_PING:
            self._say(data, ABNF.OPCODE_PONG)
        elif frame.opcode == ABNF.OPCODE_CLOSE:
            self._hang_up()
        elif frame.opcode == ABNF.OPCODE_CONT:
            self._deliver(data)
        elif frame.opcode in {ABNF.OPCODE_BINARY, ABNF.OPCODE_TEXT} and data:
            self._channel = data[0]
            self._deliver(data[1:])

    def _deliver(self, data: bytes) -> None:
        if self._channel == _STDOUT and self._closed_at is None:
            self._incoming += data
        elif self._channel == _STDERR:
            said = self._connection.complaint + data.decode(errors="replace")
            self._connection.complaint = said[-_LONGEST_COMPLAINT:]
        elif self._channel == _STATUS:
            self._status = (self._status + data)[:_LONGEST_COMPLAINT]

    def _hang_up(self) -> None:
        """Take it that no more will come; what has come is still delivered."""
        self._listening = False


def _message(status: bytes) -> str:
    """Return what a status says went wrong, empty when nothing did."""
    try:
        said = json.loads(status)
        return "" if said.get("status") == "Success" else str(said.get("message") or "")
    except (ValueError, AttributeError, RecursionError):
        return status.decode(errors="replace")
