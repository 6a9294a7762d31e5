"""Wait beside a target for scans that enter by exec: the main process of an auditor container in a pod.

Each of their agents holds a connection to this process, which ends when the agent does, however that comes
about. So it is known whether one is at work without asking anybody, and the container ends once none is. One
works at a time: two would take each other's processes for the target's.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import time
from pathlib import Path

from toolkit.agent import confine, locate
from toolkit.agent.failure import AgentError

PLACE = "/dev/barescan"
"""Where agents find this process: in a tmpfs of the container's own, also where its root is read-only."""
FOR_EVER = "forever"
_ARRIVING_SECONDS = 180.0  # for an agent to say how long it will take
_GRACE_SECONDS = 60.0  # beyond the deadline that an agent keeps itself
_STARTING_SECONDS = 5.0  # for this process to be there when an agent is early
_ANSWER_SECONDS = 5.0
_MESSAGE_BYTES = 200
_GO_ON, _BUSY = b"go on", b"busy"
_CREDENTIALS = struct.Struct("3i")  # struct ucred, unix(7)


def main(seconds: str) -> int:
    """Wait until no scan has come for so many seconds (or `forever`); return an exit status."""
    confine.hide_memory()
    signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(0))  # which process 1 would not obey
    Path(PLACE).unlink(missing_ok=True)  # of the run before, where the container was restarted
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    listener.bind(PLACE)
    listener.listen()
    confine.keep_only(0)
    confine.gain_nothing_more()
    _Waiter(listener, None if seconds == FOR_EVER else float(seconds)).wait()
    return 0


class _Waiter:
    """What keeps the container: scans at work, each with a deadline, or the time left for one to come."""

    def __init__(self, listener: socket.socket, seconds: float | None) -> None:
        self._listener = listener
        self._for_ever = seconds is None
        self._until = time.monotonic() + (seconds or 0.0)
        self._at_work: dict[socket.socket, float] = {}
        self._keep: dict[socket.socket, float] = {}

    def wait(self) -> None:
        """Return when none is at work and none has come in time, or when one has outstayed its deadline."""
        while (left := self._left()) is None or left > 0:
            for ready in select.select([self._listener, *self._at_work], [], [], left)[0]:
                if ready is self._listener:
                    self._at_work[self._listener.accept()[0]] = time.monotonic() + _ARRIVING_SECONDS
                else:
                    self._hear(ready)

    def _left(self) -> float | None:
        if self._at_work:
            return min(self._at_work.values()) - time.monotonic()
        return None if self._for_ever else self._until - time.monotonic()

    def _hear(self, connection: socket.socket) -> None:
        said = b""
        with contextlib.suppress(OSError):
            said = connection.recv(_MESSAGE_BYTES)
        if said:
            with contextlib.suppress(OSError):
                connection.send(_GO_ON if self._let_in(connection, json.loads(said)) else _BUSY)
            return
        if connection in self._keep:  # it had a job, and is not one that was turned away
            self._until = time.monotonic() + self._keep.pop(connection)
        del self._at_work[connection]
        connection.close()

    def _let_in(self, connection: socket.socket, about: dict[str, float]) -> bool:
        """Take what an agent says of its scan, unless another one is at work."""
        if self._keep.keys() - {connection}:
            return False
        self._at_work[connection] = time.monotonic() + float(about["seconds"]) + _GRACE_SECONDS
        self._keep[connection] = float(about["keep"])
        return True


class Waiting:
    """An agent's connection to the process that waits in its container; closed by the end of the agent."""

    def __init__(self) -> None:
        """Connect; raises AgentError where none waits."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        until = time.monotonic() + _STARTING_SECONDS
        while (refused := self._socket.connect_ex(PLACE)) and time.monotonic() < until:
            time.sleep(0.02)
        if refused:
            raise AgentError(
                f"no auditor waits in this container: {os.strerror(refused)}",
                "start the auditor image with the argument `wait`, as barescan does",
            )
        said = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        self.pid: int = _CREDENTIALS.unpack(said)[0]
        """Its number in our PID namespace, which is the target's."""

    def fileno(self) -> int:
        """Return the descriptor that must stay open for as long as the agent works."""
        return self._socket.fileno()

    def announce(self, seconds: float, keep: float) -> None:
        """Say how long this scan may take, and for how long to wait for another one afterwards.

        Raises AgentError when another scan is at work here.
        """
        self._socket.send(json.dumps({"seconds": seconds, "keep": keep}).encode())
        self._socket.settimeout(_ANSWER_SECONDS)
        try:
            answer = self._socket.recv(_MESSAGE_BYTES)
        except OSError:
            answer = b""
        if answer == _BUSY:
            raise AgentError(
                "another scan is at work in the auditor of this target",
                "scan again once it has ended",
                transient=True,
            )
        if answer != _GO_ON:
            raise AgentError("the process that waits in this container does not answer", "scan again")


def kill_all_else() -> int:
    """Kill every other process of this container, also those that were stopped; return an exit status.

    They are told by their mount namespace, which nobody else's processes share.
    """
    for path in Path("/proc").iterdir():
        if not path.name.isdigit() or int(path.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if locate.shares_namespace(int(path.name), "mnt"):
                os.kill(int(path.name), signal.SIGKILL)
    return 0
