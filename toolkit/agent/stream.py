"""The one duplex byte stream between client and agent: frames, totals, acknowledgement.

A frame is one byte of kind, four bytes of length (big-endian), the payload. Each side ends with an `END`
frame that carries how many bytes it sent and their SHA-256; the receiver answers `ACK`, and only then may the
sender exit: streams through an API server were seen to lose their tail and still report success.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import struct
import time
from enum import IntEnum
from typing import Any, NamedTuple

VERSION = 1
HEADER = struct.Struct("!BI")
MAX_PAYLOAD = 1 << 20  # bounds what a hostile peer can make the other side hold at once
CHUNK = 1 << 18


class Kind(IntEnum):
    """What a frame carries; JSON unless said otherwise."""

    HELLO = 1
    JOB = 2
    FILE = 3
    DATA = 4  # raw bytes of the FILE announced before
    END = 5
    ACK = 6
    PHASE = 7
    STDOUT = 8  # raw bytes of the engine
    STDERR = 9  # raw bytes of the engine
    FACTS = 10
    RESULT = 11
    FAIL = 12


_CLOSED = "the other side has closed the stream"
_UNCOUNTED = {Kind.END, Kind.ACK}


class StreamError(Exception):
    """The stream broke, was malformed, or did not answer in time."""


class DeadlineError(StreamError):
    """It did not answer in time."""


class Frame(NamedTuple):
    """One frame: its kind and its payload."""

    kind: Kind
    payload: bytes

    def json(self) -> dict[str, Any]:
        """Return the payload as a JSON object; raise StreamError for anything else."""
        try:
            value = json.loads(self.payload)
        except (ValueError, RecursionError) as error:
            raise StreamError(f"a {self.kind.name} frame is not JSON") from error
        if not isinstance(value, dict):
            raise StreamError(f"a {self.kind.name} frame is not a JSON object")
        return value


class Stream:
    """Frames over two file descriptors; `deadline` is a time.monotonic() value in seconds, or None."""

    def __init__(
        self, read_fd: int, write_fd: int, deadline: float | None = None, *, hashed: bool = True
    ) -> None:
        """Take the descriptors as they are; they stay the caller's to close.

        Both sides of a stream that does not leave the kernel may go without hashes: the bundle's Python has
        no OpenSSL, and its own takes as long for them as for all the rest.
        """
        self.read_fd = read_fd
        self.write_fd = write_fd
        self.deadline = deadline
        self._sent = 0
        self._received = 0
        self._hashed = hashed
        self._sent_hash, self._received_hash = hashlib.sha256(), hashlib.sha256()
        with contextlib.suppress(OSError):
            os.set_blocking(write_fd, False)

    def send(self, kind: Kind, payload: bytes | dict[str, Any]) -> None:
        """Send one frame; raises StreamError when the peer is gone or the deadline has passed."""
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        if len(data) > MAX_PAYLOAD:
            raise StreamError(f"a {kind.name} frame of {len(data)} bytes is over the limit of {MAX_PAYLOAD}")
        frame = HEADER.pack(kind, len(data)) + data
        if kind not in _UNCOUNTED:
            self._sent += len(frame)
            if self._hashed:
                self._sent_hash.update(frame)
        self._write(memoryview(frame))

    def send_data(self, data: bytes) -> None:
        """Send bytes of any length as DATA frames."""
        for start in range(0, len(data), CHUNK):
            self.send(Kind.DATA, data[start : start + CHUNK])

    def end(self) -> Frame:
        """Say what was sent in all; return the answer: the acknowledgement, or what went wrong over there."""
        self.send(Kind.END, {"bytes": self._sent, "sha256": self._sent_hash.hexdigest()})
        frame = self.receive()
        if frame.kind not in {Kind.ACK, Kind.FAIL}:
            raise StreamError(f"expected an acknowledgement, got {frame.kind.name}")
        return frame

    def receive(self) -> Frame:
        """Return the next frame; an END frame is checked against what arrived, and acknowledged."""
        header = self._read(HEADER.size)
        number, length = HEADER.unpack(header)
        if length > MAX_PAYLOAD or number not in Kind.__members__.values():
            raise StreamError("the peer does not speak this protocol")
        payload = self._read(length)
        frame = Frame(Kind(number), payload)
        if frame.kind is Kind.END:
            self._check_end(frame.json())
            self.send(Kind.ACK, {})
        elif frame.kind not in _UNCOUNTED:
            self._received += HEADER.size + length
            if self._hashed:
                self._received_hash.update(header)
                self._received_hash.update(payload)
        return frame

    def expect(self, kind: Kind) -> Frame:
        """Return the next frame, which must be of this kind."""
        frame = self.receive()
        if frame.kind is not kind:
            raise StreamError(f"expected {kind.name}, got {frame.kind.name}")
        return frame

    def _check_end(self, said: dict[str, Any]) -> None:
        if said != {"bytes": self._received, "sha256": self._received_hash.hexdigest()}:
            sent = said.get("bytes")
            number = sent if isinstance(sent, int) and 0 <= sent < 1 << 64 else "an unknown number of"
            raise StreamError(f"{number} bytes were sent and {self._received} arrived, or not the same ones")

    def _left(self) -> float | None:
        if self.deadline is None:
            return None
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise DeadlineError("the deadline has passed")
        return left

    def _wait(self, fd: int, event: int) -> None:
        """Wait for one of our descriptors; a peer that has hung up takes nothing any more, read or not."""
        poll = select.poll()
        poll.register(fd, event)
        if fd != self.read_fd:
            poll.register(self.read_fd, 0)  # tells of a hang-up only
        left = self._left()
        ready = dict(poll.poll(None if left is None else int(left * 1000) + 1))
        if not ready:
            raise DeadlineError("the deadline has passed")
        if fd not in ready:
            raise StreamError(_CLOSED)

    def _read(self, length: int) -> bytes:
        parts: list[bytes] = []
        while length:
            self._wait(self.read_fd, select.POLLIN)
            try:
                part = os.read(self.read_fd, min(length, CHUNK))
            except BlockingIOError:
                continue
            except OSError as error:
                raise StreamError(_CLOSED) from error
            if not part:
                raise StreamError(_CLOSED)
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def _write(self, data: memoryview) -> None:
        while data:
            self._wait(self.write_fd, select.POLLOUT)
            try:
                data = data[os.write(self.write_fd, data[:CHUNK]) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise StreamError(_CLOSED) from error
