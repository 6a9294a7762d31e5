"""Frames of the stream between client and agent, to be spoilt before they are sent."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from random import Random

from tests.fuzz.harness import mutate_bytes, mutate_json
from toolkit.agent.source import source_sha256
from toolkit.agent.stream import HEADER, Kind, Stream

OUR_AGENT = b"0" * 64
"""Stands in seeds and corpus for the hash of the agent, which changes with every change of it."""
_RAW = {Kind.DATA, Kind.STDOUT, Kind.STDERR}
Said = tuple[int, bytes]


def frame(kind: int, payload: bytes | Mapping[str, object]) -> bytes:
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return HEADER.pack(kind, len(data)) + data


def split(data: bytes) -> tuple[list[Said], bytes]:
    """Return the frames that there are whole, and what is left."""
    found: list[Said] = []
    while len(data) >= HEADER.size:
        kind, length = HEADER.unpack_from(data)
        if HEADER.size + length > len(data):
            break
        found.append((kind, data[HEADER.size : HEADER.size + length]))
        data = data[HEADER.size + length :]
    return found, data


def filled(data: bytes) -> bytes:
    """Put the agent's real hash where seeds have `OUR_AGENT`."""
    return data.replace(OUR_AGENT, source_sha256().encode())


def sealed(data: bytes) -> bytes:
    """End a conversation as an agent would that said all this and lost nothing.

    A hostile agent can compute a hash as well: only so does what it says reach the client's code.
    """
    said, rest = split(data)
    counted = b"".join(frame(kind, text) for kind, text in said if kind not in {Kind.END, Kind.ACK})
    ending = {"bytes": len(counted), "sha256": hashlib.sha256(counted).hexdigest()}
    return data if rest else data + frame(Kind.END, ending)


def mutate(data: bytes, random: Random) -> bytes:
    """Spoil a conversation: frames by their content, their kind, their order and their number."""
    said, rest = split(data)
    if not said or random.random() < 0.15:
        return mutate_bytes(data, random)
    for _ in range(random.randint(1, 3)):
        place = random.randrange(len(said))
        kind, payload = said[place]
        match random.randrange(8):
            case 0:
                said[place] = (random.choice([*Kind, 0, 99]), payload)
            case 1:
                del said[place]
            case 2:
                said.insert(random.randint(0, len(said)), (kind, payload))
            case 3:
                said.insert(random.randint(0, len(said)), said.pop(place))
            case _:
                spoil = mutate_bytes if kind in _RAW else mutate_json
                said[place] = (kind, spoil(payload, random)[: 1 << 16])
        if not said:
            break
    return b"".join(frame(kind, payload) for kind, payload in said) + rest


@contextlib.contextmanager
def peer(data: bytes) -> Iterator[Stream]:
    """Give the stream to a peer that says all this, whatever it hears, and then only listens."""
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def speak() -> None:
            with contextlib.suppress(OSError):
                theirs.sendall(data)
                theirs.shutdown(socket.SHUT_WR)

        def listen() -> None:
            with contextlib.suppress(OSError):
                while os.read(theirs.fileno(), 1 << 18):
                    pass

        speaker, listener = (threading.Thread(target=each, daemon=True) for each in (speak, listen))
        speaker.start()
        listener.start()
        yield Stream(ours.fileno(), ours.fileno(), time.monotonic() + 20)
        ours.shutdown(socket.SHUT_RDWR)
        speaker.join()
        listener.join()
