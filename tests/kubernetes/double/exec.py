"""Commands in containers, over websockets: channels, flow control and exit status as the real server's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aiohttp import WSMsgType, web
from docker.errors import APIError
from multidict import MultiMapping

from tests.kubernetes.double import statuses
from tests.kubernetes.double.engine import Engine
from tests.kubernetes.double.statuses import Json

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
_STDIN, _STDOUT, _STDERR, _STATUS, _CLOSE = 0, 1, 2, 3, 255
_PIECE = 32 * 1024
"""The most that one frame carries to the client: what the servers on the way read at once."""
_KILLED = 137
_LOOK_SECONDS = 0.25
_MESSAGE = 32 << 20
"""The most that a client may send in one frame."""
_LOOK_SECONDS = 0.2
_NOT_STARTED = b"OCI runtime exec failed: "
"""How the engine begins what it says, in place of output, when it can't start a command."""


@dataclass
class Line:
    """How the streams of this server differ from the usual: switched on by the tests that need it."""

    bytes_a_second: int = 0
    """How fast output goes to the client; 0 is as fast as it can."""
    loses_tail: bool = False
    """The last piece of output is lost though the status is Success."""


@dataclass(frozen=True)
class Command:
    """What is to be run where, and which streams are wanted."""

    words: list[str]
    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @classmethod
    def of(cls, query: MultiMapping[str]) -> Command:
        """Read it from the query of a request."""
        wanted = {key: query.get(key, "") in ("true", "1") for key in ("stdin", "stdout", "stderr", "tty")}
        return cls(query.getall("command", []), **wanted)

    @property
    def no_streams(self) -> str:
        """Return what a kubelet says when no stream is asked for, or nothing."""
        some = self.stdin or self.stdout or self.stderr
        return "" if some else "you must specify at least 1 of stdin, stdout, stderr"


def container_of(pod: Json, asked: str) -> str:
    """Return the container that is meant; raises the 400 when there is none, or more than one."""
    spec, name = pod["spec"], pod["metadata"]["name"]
    named = {
        kind: [each["name"] for each in spec.get(kind) or []]
        for kind in ("containers", "initContainers", "ephemeralContainers")
    }
    if asked and asked not in (each for names in named.values() for each in names):
        raise statuses.bad_request(f"container {asked} is not valid for pod {name}")
    if not asked and len(named["containers"]) != 1:
        choice = " ".join(named["containers"])
        said = f"a container name must be specified for pod {name}, choose one of: [{choice}]"
        if named["initContainers"]:
            said += f" or one of the init containers: [{' '.join(named['initContainers'])}]"
        raise statuses.bad_request(said)
    if not spec.get("nodeName"):
        raise statuses.bad_request(f"pod {name} does not have a host assigned")
    return asked or str(named["containers"][0])


class Execs:
    """All sessions of a server."""

    def __init__(self, engine: Engine, line: Line) -> None:
        self._engine, self._line = engine, line
        self._left: list[asyncio.StreamWriter] = []

    async def serve(self, request: web.Request, container: str, name: str) -> web.StreamResponse:
        """Run the command of a request in a container of the engine; `container` is empty when none runs."""
        if request.headers.get("Upgrade", "").lower() != "websocket":
            raise statuses.bad_request("Upgrade request required")
        offered = [each.strip() for each in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        command = Command.of(request.query)
        absent = "" if container else f'container not found ("{name}")'
        if V5 not in offered:
            if command.no_streams:
                return web.Response(status=400, text=command.no_streams)
            if absent:
                return web.Response(status=500, text=absent)
            if V4 not in offered:
                return web.Response(status=403, headers={"Connection": "close"})
        protocol = V5 if V5 in offered else V4
        socket = web.WebSocketResponse(protocols=(protocol,), compress=False, max_msg_size=_MESSAGE)
        await socket.prepare(request)
        first = _STDOUT if command.stdout else _STDERR if command.stderr else _STATUS
        with contextlib.suppress(ConnectionError):
            await socket.send_bytes(bytes([first]))
            session = _Session(self._engine, self._line, request, socket, command)
            if said := command.no_streams or absent:
                await session.finish(statuses.internal(f"unable to upgrade connection: {said}").body)
            else:
                await session.run(container, self._left)
        return socket

    def close(self) -> None:
        """Let go of the commands whose clients have gone."""
        for writer in self._left:
            writer.close()


class _Session:
    """One command and the websocket to its client."""

    def __init__(
        self,
        engine: Engine,
        line: Line,
        request: web.Request,
        socket: web.WebSocketResponse,
        command: Command,
    ) -> None:
        self._engine, self._line, self._socket, self._command = engine, line, socket, command
        self._request = request
        self._v5 = socket.ws_protocol == V5
        self._refusal = ""
        self._unread = False

    async def run(self, container: str, left: list[asyncio.StreamWriter]) -> None:
        """Run the command to its end, or until the client goes; then its stdin ends, and nobody reads it."""
        try:
            number = await self._create(container)
            reader, writer = await _attach(self._engine, number, tty=self._command.tty)
        except _RefusedError as refused:
            await self.finish(self._not_started(str(refused)))
            return
        feeding = asyncio.ensure_future(self._feed(writer))
        carrying = asyncio.ensure_future(self._carry(reader))
        killing = asyncio.ensure_future(self._killed(container))
        tasks = feeding, carrying, killing
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            ended = carrying.done() and not carrying.exception()
            killed = killing.done() and not killing.exception() and not ended
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if killed:
            writer.close()
            await self.finish(self._failed(_KILLED))
            return
        if not ended:
            _end_of(writer)
            left.append(writer)
            return
        writer.close()
        if self._unread:
            await self._never()
        else:
            await self.finish(await self._outcome(number))

    async def _never(self) -> None:
        """Say nothing until the client goes: a real node never tells that a command left input unread."""
        while self._request.transport is not None:
            await asyncio.sleep(_LOOK_SECONDS)

    async def finish(self, status: Json) -> None:
        """Send the status and close."""
        said = {key: value for key, value in status.items() if key not in ("kind", "apiVersion")}
        await self._socket.send_bytes(bytes([_STATUS]) + json.dumps(said, separators=(",", ":")).encode())
        await self._socket.close()

    async def _create(self, container: str) -> str:
        command = self._command
        if not command.words:
            raise _RefusedError("OCI runtime exec failed: exec failed: args must not be empty: unknown")
        try:
            made = await self._engine.call(
                self._engine.client.api.exec_create,
                container,
                command.words,
                stdin=command.stdin,
                stdout=command.stdout,
                stderr=command.stderr and not command.tty,
                tty=command.tty,
            )
        except APIError as error:
            raise _RefusedError(str(error.explanation)) from None
        return str(made["Id"])

    async def _feed(self, writer: asyncio.StreamWriter) -> None:
        """Carry what the client sends to the command's stdin; returns when the client has gone."""
        open_ = self._command.stdin
        if not open_:
            _end_of(writer)
        async for message in self._socket:
            if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT):
                return
            data = message.data if isinstance(message.data, bytes) else message.data.encode()
            if self._v5 and data[:1] == bytes([_CLOSE]):
                if data[1:] == bytes([_STDIN]) and open_:
                    open_ = False
                    _end_of(writer)
            elif data[:1] == bytes([_STDIN]) and open_:
                with contextlib.suppress(ConnectionError):
                    self._unread = True
                    writer.write(memoryview(data)[1:])
                    await writer.drain()
                    self._unread = False

    async def _carry(self, reader: asyncio.StreamReader) -> None:
        """Carry the command's output to the client, to its end."""
        held = b""
        async for channel, data in self._pieces(reader):
            if data.startswith(_NOT_STARTED):
                self._refusal = data.decode(errors="replace").strip()
                continue
            frame = bytes([channel]) + data
            if self._line.loses_tail:
                held, frame = frame, held
            if frame:
                await self._socket.send_bytes(frame)
            if self._line.bytes_a_second:
                await asyncio.sleep(len(data) / self._line.bytes_a_second)

    async def _pieces(self, reader: asyncio.StreamReader) -> Any:
        if self._command.tty:
            while data := await reader.read(_PIECE):
                yield _STDOUT, data
            return
        while len(head := await _exactly(reader, 8)) == 8:
            left = int.from_bytes(head[4:])
            while left:
                data = await reader.read(min(left, _PIECE))
                if not data:
                    return
                left -= len(data)
                yield head[0], data

    async def _killed(self, container: str) -> None:
        """Return once the container has ended: the engine does not close the streams of its commands then."""
        while (await self._engine.call(self._engine.client.api.inspect_container, container))["State"][
            "Running"
        ]:
            await asyncio.sleep(_LOOK_SECONDS)
        await asyncio.sleep(_LOOK_SECONDS)  # for what was said last

    async def _outcome(self, number: str) -> Json:
        """Return the status of a command that has ended."""
        while True:
            about = await self._engine.call(self._engine.client.api.exec_inspect, number)
            if not about["Running"]:
                break
            await asyncio.sleep(0.02)
        if self._refusal and not about["Pid"]:
            return self._not_started(self._refusal)
        code = about["ExitCode"]
        return self._failed(code) if code else {"metadata": {}, "status": "Success"}

    def _failed(self, code: int) -> Json:
        if self._v5:
            how = f"command terminated with exit code {code}"
        else:
            how = f"error executing command [{' '.join(self._command.words)}], exit code {code}"
        return {
            "metadata": {},
            "status": "Failure",
            "message": f"command terminated with non-zero exit code: {how}",
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
        }

    def _not_started(self, why: str) -> Json:
        said = (
            "error executing command in container: failed to exec in container: failed to start exec "
            f'"{secrets.token_hex(32)}": {why}'
        )
        return statuses.internal(f"Internal error occurred: {said}" if self._v5 else said).body


class _RefusedError(Exception):
    """The engine does not start the command."""


async def _attach(
    engine: Engine, number: str, *, tty: bool
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Start a command and take over its connection to the engine."""
    reader, writer = await _connection()
    body = json.dumps({"Detach": False, "Tty": tty}).encode()
    head = (
        f"POST /v{engine.client.api.api_version}/exec/{number}/start HTTP/1.1\r\nHost: engine\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    )
    writer.write(head.encode() + body)
    answer = await reader.readuntil(b"\r\n\r\n")
    if b" 101 " not in answer.split(b"\r\n", 1)[0]:
        said = await reader.read(4096)
        writer.close()
        raise _RefusedError(said.decode(errors="replace"))
    return reader, writer


async def _exactly(reader: asyncio.StreamReader, size: int) -> bytes:
    try:
        return await reader.readexactly(size)
    except asyncio.IncompleteReadError as error:
        return error.partial


def _end_of(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, RuntimeError):
        writer.write_eof()


async def _connection() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection of its own to the engine, on which a stream can flow both ways."""
    address = urlsplit(os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock")
    if address.scheme == "unix":
        return await asyncio.open_unix_connection(address.path)
    return await asyncio.open_connection(address.hostname, address.port)
