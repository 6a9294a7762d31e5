"""A hostile agent: bytes that are sent to the client whatever it says, and readers that trust them.

`trusting` is what a script does with such a stream: take each frame as it comes, write what is to be written
where it is said to be written, believe the last result.
"""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from toolkit.agent.source import source_sha256
from toolkit.agent.stream import HEADER, MAX_PAYLOAD, VERSION, Kind, Stream
from toolkit.errors import BarescanError
from toolkit.runtimes.base import Connection
from toolkit.runtimes.session import Outcome, converse

PASSED: dict[str, Any] = {"exit_status": 0, "seconds": 0.1}
COMPLETE = {"complete": True}
OUTPUTS = ("report.json", "report", "one", "two")
"""What the client asks for."""
_SECONDS = 20.0


def frame(kind: Kind, payload: bytes | str | dict[str, Any]) -> bytes:
    """Return a frame as an agent would send it, or JSON text that no agent would."""
    data = payload if isinstance(payload, bytes) else _text(payload).encode()
    return HEADER.pack(kind, len(data)) + data


def _text(payload: str | dict[str, Any]) -> str:
    return payload if isinstance(payload, str) else json.dumps(payload)


HELLO = frame(Kind.HELLO, {"version": VERSION, "agent": source_sha256()})
RESULT = frame(Kind.RESULT, PASSED) + frame(Kind.RESULT, COMPLETE)


def end(said: bytes, hello: bytes = HELLO) -> bytes:
    """Return the frame that ends what was said, true to the last byte."""
    whole = hello + said
    return frame(Kind.END, {"bytes": len(whole), "sha256": hashlib.sha256(whole).hexdigest()})


def file(name: Any, content: bytes, size: Any = None) -> bytes:
    """Return the frames of an output, which may lie about its size."""
    about = {"name": name, "size": len(content) if size is None else size}
    pieces = [content[start : start + MAX_PAYLOAD] for start in range(0, len(content), MAX_PAYLOAD)]
    return frame(Kind.FILE, about) + b"".join(frame(Kind.DATA, piece) for piece in pieces)


@dataclass
class Told:
    """What the client made of it."""

    outcome: Outcome = field(default_factory=Outcome)
    lines: list[str] = field(default_factory=list)
    error: BarescanError | None = None
    seconds: float = 0.0


def tell(
    folder: Path,
    said: bytes | Iterable[bytes],
    *,
    hello: bytes = HELLO,
    seconds: float = _SECONDS,
    hold: bool = False,
) -> Told:
    """Have the client talk to an agent that says this; what is raised but a BarescanError fails the test.

    `hold` leaves the connection open when all was said.
    """
    ours, theirs = socket.socketpair()
    told, began = Told(), time.monotonic()
    opening = [hello + frame(Kind.ACK, {})]

    def speak() -> None:
        try:
            for part in chain(opening, [said] if isinstance(said, bytes) else said):
                theirs.sendall(part)
            if not hold:
                theirs.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the client has heard enough

    speaker = threading.Thread(target=speak)
    with ours, theirs:
        speaker.start()
        connection = Connection(Stream(ours.fileno(), ours.fileno(), time.monotonic() + seconds))
        try:
            converse(connection, {"outputs": OUTPUTS}, (), folder, told.lines.append, told.outcome)
        except BarescanError as error:
            told.error = error
        told.seconds = time.monotonic() - began
        ours.shutdown(socket.SHUT_RDWR)
        speaker.join()
    return told


def trusting(folder: Path, said: bytes) -> dict[str, Any]:
    """Return what a reader believes that trusts all of it, and have it write what it is told to."""
    believed: dict[str, Any] = {}
    place: Path | None = None
    while said:
        number, length = HEADER.unpack(said[: HEADER.size])
        payload, said = said[HEADER.size : HEADER.size + length], said[HEADER.size + length :]
        if number == Kind.FILE:
            place = folder / json.loads(payload)["name"]
            place.write_bytes(b"")
        elif number == Kind.DATA and place:
            with place.open("ab") as output:
                output.write(payload)
        elif number in {Kind.RESULT, Kind.FACTS}:
            believed |= json.loads(payload)
    return believed
