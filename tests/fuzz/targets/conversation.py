"""The client's half of the stream: `converse` with an agent that says what it likes and seals it rightly."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.fuzz import frames
from tests.fuzz.frames import frame
from tests.fuzz.harness import Outcome, Target
from toolkit.agent.stream import Kind
from toolkit.errors import BarescanError
from toolkit.runtimes import session
from toolkit.runtimes.base import Connection

OUTPUTS = ("report.json", "refused.json")
JOB = {"pid": 1, "bundle": "/b", "argv": ["/x"], "env": {}, "outputs": list(OUTPUTS), "timeout": 9.0}
HELLO = frame(Kind.HELLO, {"version": 1, "agent": frames.OUR_AGENT.decode()})
_SAID: tuple[tuple[Kind, bytes | Mapping[str, object]], ...] = (
    (Kind.ACK, {}),
    (Kind.PHASE, {"phase": "enter"}),
    (Kind.FACTS, {"target": {"pid": 7, "container_id": "c" * 64, "left_out": ["/sys"]}}),
    (Kind.FACTS, {"os_release": {"ID": "debian", "VERSION_ID": "12"}}),
    (Kind.STDOUT, b'barescan-progress {"control": "one", "status": "passed"}\nplain\n'),
    (Kind.STDERR, b"W: careful\n"),
    (Kind.FILE, {"name": "report.json", "size": 7}),
    (Kind.DATA, b"content"),
    (Kind.FILE, {"name": "refused.json", "size": 2}),
    (Kind.DATA, b"{}"),
    (Kind.RESULT, {"exit_status": 0, "seconds": 0.5}),
    (Kind.RESULT, {"complete": True}),
)
HONEST = HELLO + b"".join(frame(kind, said) for kind, said in _SAID)
FAILED = HELLO + b"".join(
    frame(kind, said)
    for kind, said in (
        (Kind.ACK, {}),
        (Kind.FAIL, {"cause": "it ended", "remedy": "again", "status": 2, "transient": True}),
    )
)


def hear(data: bytes) -> session.Outcome:
    """Return what a client makes of these bytes; raises as `converse` does."""
    outcome = session.Outcome()
    with tempfile.TemporaryDirectory(prefix="barescan-fuzz-") as folder, frames.peer(data) as stream:
        place = Path(folder) / "raw"
        place.mkdir()
        try:
            session.converse(Connection(stream), JOB, (), place, lambda line: None, outcome)
        except BarescanError:
            outcome.complete = False  # nobody looks at it then
            raise
        finally:
            _check_kept(Path(folder), place, outcome)
    return outcome


def _check_kept(folder: Path, place: Path, outcome: session.Outcome) -> None:
    assert list(folder.iterdir()) == [place], "it wrote outside of its folder"
    assert {each.name for each in place.iterdir()} <= set(OUTPUTS), "it wrote what was not asked for"
    assert len(outcome.stderr) <= 20_000


def run(data: bytes) -> Outcome:
    """Seal what the agent says, and compare what was understood with the frames themselves."""
    data = frames.sealed(frames.filled(data))
    outcome = hear(data)
    said, _ = frames.split(data)
    kinds = [kind for kind, _ in said]
    assert Kind.FAIL not in kinds[: kinds.index(Kind.END, kinds.index(Kind.ACK))]
    assert isinstance(outcome.exit_status, int | None)
    return Outcome.TAKEN


TARGET = Target(run, lambda: [HONEST, FAILED], frames.mutate)
