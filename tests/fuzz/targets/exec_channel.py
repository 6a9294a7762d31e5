"""What an API server sends on the websocket of an exec; or, after a prefix, a Docker engine's frames."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from random import Random
from types import SimpleNamespace

import websocket
from websocket import ABNF

from tests.fuzz.harness import Outcome, Target, mutate_bytes, mutate_json
from toolkit.agent.stream import Stream
from toolkit.runtimes import docker
from toolkit.runtimes.base import Connection
from toolkit.runtimes.kubernetes import channels

DOCKER = b"docker\n"
_SUCCESS = json.dumps({"metadata": {}, "status": "Success"}).encode()
_FAILURE = json.dumps(
    {"status": "Failure", "message": "command terminated", "reason": "NonZeroExitCode", "code": 500}
).encode()
_LIMIT = 1 << 22


def message(channel: int, data: bytes, opcode: int = ABNF.OPCODE_BINARY) -> bytes:
    """Return a message as servers send it, unmasked."""
    payload = bytes([channel]) + data
    length = bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + struct.pack("!H", len(payload))
    return bytes([0x80 | opcode]) + length + payload


def _docker_frame(kind: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", kind, len(data)) + data


def _carry(data: bytes) -> tuple[bytes, str]:
    """Return what reached the client of an exec, and the complaint."""
    ours, theirs = socket.socketpair()
    client = websocket.WebSocket()
    client.sock = ours
    client.connected = True
    with ours, theirs, channels.conversation(SimpleNamespace(sock=client)) as connection:
        speaker = threading.Thread(target=_speak, args=(theirs, data), daemon=True)
        speaker.start()
        connection.stream.deadline = None
        heard = _heard(connection.stream.read_fd)
        speaker.join()
    return heard, connection.complaint


def _speak(end: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        end.sendall(data)
        end.shutdown(socket.SHUT_WR)


def _heard(descriptor: int) -> bytes:
    with socket.socket(fileno=socket.dup(descriptor)) as end:
        end.settimeout(8)
        heard = b""
        while len(heard) < _LIMIT and (part := end.recv(1 << 16)):
            heard += part
        return heard


def _bring(data: bytes) -> tuple[bytes, str]:
    """Return the same of a Docker engine."""
    engine, theirs = socket.socketpair()
    sink, ours = socket.socketpair()
    connection = Connection(Stream(ours.fileno(), ours.fileno()))
    with engine, theirs, sink, ours:
        threads = [
            threading.Thread(target=_speak, args=(theirs, data), daemon=True),
            threading.Thread(target=docker._bring, args=(engine, sink, connection), daemon=True),
        ]
        for thread in threads:
            thread.start()
        heard = _heard(ours.fileno())
        for thread in threads:
            thread.join(8)
        assert not any(thread.is_alive() for thread in threads)
    return heard, connection.complaint


def run(data: bytes) -> Outcome:
    """Carry until the server hangs up: the client learns of it, and no thread breaks or stays."""
    broken: list[BaseException | None] = []
    before, threading.excepthook = threading.excepthook, lambda args: broken.append(args.exc_value)
    running = threading.active_count()
    try:
        heard, complaint = _bring(data.removeprefix(DOCKER)) if data.startswith(DOCKER) else _carry(data)
    finally:
        threading.excepthook = before
    assert not broken, f"a thread broke: {broken[0]!r}"
    assert threading.active_count() == running
    assert len(heard) <= len(data)
    assert len(complaint) <= 4000
    return Outcome.TAKEN


def seeds() -> list[bytes]:
    whole = message(1, b"") + message(1, b"out" * 50) + message(2, b"err\n") + b"\x89\x04ping"
    return [
        whole + message(3, _SUCCESS) + b"\x88\x02\x03\xe8",
        message(2, b"barescan agent: x\n") + message(3, _FAILURE),
        DOCKER + _docker_frame(1, b"out" * 50) + _docker_frame(2, b"err\n") + _docker_frame(1, b"x"),
    ]


def mutate(data: bytes, random: Random) -> bytes:
    match random.randrange(4):
        case 0:
            status = mutate_json(random.choice((_SUCCESS, _FAILURE)), random)[:60_000]
            return data.split(_SUCCESS)[0][:-4] + message(3, status)
        case 1:
            kind = random.choice((0, 1, 2, 8, 9, 10, 3))
            place = random.randint(0, len(data))
            return (
                data[:place]
                + message(random.choice((0, 1, 2, 3, 255)), b"x" * random.randint(0, 200), kind)
                + data[place:]
            )
        case _:
            return mutate_bytes(data, random)


TARGET = Target(run, seeds, mutate)
