"""The client's half of the conversation with an agent: job out, progress and outputs in, all bounded."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from toolkit.agent.source import source_sha256
from toolkit.agent.stream import VERSION, DeadlineError, Frame, Kind, Stream, StreamError
from toolkit.engines.base import SentFile
from toolkit.errors import BarescanError, CallError, ScanError
from toolkit.reports import json_tree
from toolkit.runtimes.base import Connection

MAX_OUTPUT_BYTES = 300 << 20
_MAX_FACTS_BYTES = 8 << 20
_FACTS_LEVELS = 16
_TAIL_BYTES = 20_000
_LONGEST_WORDS = 4000
_OUTPUT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
OnLine = Callable[[str], None]


@dataclass
class Outcome:
    """What the agent brought back."""

    facts: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Path] = field(default_factory=dict)
    exit_status: int | None = None
    engine_seconds: float = 0.0
    stderr: str = ""
    complete: bool = False


def converse(
    connection: Connection,
    job: Mapping[str, Any],
    files: tuple[SentFile, ...],
    folder: Path,
    on_line: OnLine,
    outcome: Outcome,
) -> None:
    """Run one job and fill `outcome` as answers arrive, so that what came before an interruption is kept.

    Outputs are written to `folder`; `on_line` gets each line of the engine's standard output. Raises
    CallError or ScanError with the agent's own cause and remedy, ScanError when the stream breaks.
    """
    stream = connection.stream
    try:
        greet(connection)
        _send(stream, job, files)
        _Receiver(stream, folder, on_line, outcome).receive()
    except StreamError as error:
        raise ScanError(
            f"the agent's stream broke off: {error}",
            "run again; if it stays so, report it",
            transient=not isinstance(error, DeadlineError),  # it would take as long again
        ) from None


def greet(connection: Connection) -> dict[str, Any]:
    """Return what the agent says of itself, asked the first time; raises StreamError, ScanError."""
    if connection.hello is None:
        ours = source_sha256()
        connection.stream.send(Kind.HELLO, {"version": VERSION, "agent": ours})
        frame = connection.stream.receive()
        if frame.kind is Kind.FAIL:
            raise _failure(frame)
        connection.hello = frame.json()
        if connection.hello.get("agent") != ours:
            raise ScanError(
                "the agent is of another version than this client", "build the auditor anew with this client"
            )
    return connection.hello


def _send(stream: Stream, job: Mapping[str, Any], files: tuple[SentFile, ...]) -> None:
    stream.send(Kind.JOB, dict(job))
    for file in files:
        stream.send(Kind.FILE, {"name": file.name, "size": len(file.content), "mode": file.mode})
        stream.send_data(file.content)
    answer = stream.end()
    if answer.kind is Kind.FAIL:
        raise _failure(answer)


def _failure(frame: Frame) -> BarescanError:
    said = frame.json()
    kind = CallError if said.get("status") == CallError.status else ScanError
    passing = said.get("transient") is True
    cause = _words(said.get("cause")) or "the agent gave up and did not say why"
    return kind(cause, _words(said.get("remedy")), transient=passing)


def _words(said: object) -> str:
    """Return what the agent wrote for people: as much as may be meant to be read."""
    return said[:_LONGEST_WORDS] if isinstance(said, str) else ""


def _facts(frame: Frame) -> dict[str, Any]:
    facts = frame.json()
    try:
        json_tree.check(facts, _FACTS_LEVELS)
    except ValueError as error:
        raise StreamError(f"the facts are not acceptable: {error}") from None
    return facts


class _Receiver:
    """Frames from the agent, in whatever order they come."""

    def __init__(self, stream: Stream, folder: Path, on_line: OnLine, outcome: Outcome) -> None:
        self._stream = stream
        self._folder = folder
        self._on_line = on_line
        self._outcome = outcome
        self._line = b""
        self._left = MAX_OUTPUT_BYTES
        self._facts_left = _MAX_FACTS_BYTES

    def receive(self) -> None:
        """Take frames until the end; raises what the agent said went wrong."""
        failure: BarescanError | None = None
        while (frame := self._stream.receive()).kind is not Kind.END:
            match frame.kind:
                case Kind.STDOUT:
                    self._lines(frame.payload)
                case Kind.STDERR:
                    text = self._outcome.stderr + frame.payload.decode(errors="replace")
                    self._outcome.stderr = text[-_TAIL_BYTES:]
                case Kind.FACTS:
                    self._take_facts(len(frame.payload))
                    self._outcome.facts |= _facts(frame)
                case Kind.FILE:
                    self._file(frame)
                case Kind.RESULT:
                    self._result(frame.json())
                case Kind.FAIL:
                    failure = failure or _failure(frame)
                case Kind.PHASE:
                    pass
                case _:
                    raise StreamError(f"unexpected {frame.kind.name} frame")
        if failure:
            raise failure

    def _lines(self, data: bytes) -> None:
        *lines, rest = (self._line + data).split(b"\n")
        self._line = rest[-_TAIL_BYTES:]
        for line in lines:
            self._on_line(line.decode(errors="replace"))

    def _result(self, said: dict[str, Any]) -> None:
        if "exit_status" in said:
            status, seconds = said["exit_status"], said.get("seconds")
            if not isinstance(status, int) or not isinstance(seconds, int | float) or not 0 <= seconds < 1e9:
                raise StreamError("the result of the engine is not acceptable")
            self._outcome.exit_status, self._outcome.engine_seconds = status, float(seconds)
        self._outcome.complete = said.get("complete") is True

    def _file(self, frame: Frame) -> None:
        about = frame.json()
        name, size = about.get("name"), about.get("size")
        if not isinstance(name, str) or not _OUTPUT_NAME.fullmatch(name) or name in self._outcome.outputs:
            raise StreamError(f"the output {_words(name)[:80]!r} is not acceptable")
        if not isinstance(size, int) or not 0 <= size <= self._left:
            raise StreamError(f"the size of the output {name!r} is not acceptable")
        self._left -= size
        path = self._folder / name
        with path.open("xb") as file:
            self._content(file, size)
        self._outcome.outputs[name] = path

    def _take_facts(self, size: int) -> None:
        """Count facts, which are kept in memory; raises StreamError when no target has so many."""
        self._facts_left -= size
        if self._facts_left < 0:
            raise StreamError(f"the agent sent more than {_MAX_FACTS_BYTES >> 20} MiB of facts")

    def _content(self, file: IO[bytes], size: int) -> None:
        while size > 0:
            data = self._stream.expect(Kind.DATA).payload
            size -= len(data)
            file.write(data)
        if size:
            raise StreamError("an output is longer than announced")
