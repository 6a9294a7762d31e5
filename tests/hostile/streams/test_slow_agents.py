"""An agent sends a byte now and then, so that no single read is ever too slow ("slow loris")."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

from tests.hostile.streams.peer import RESULT, end, tell
from toolkit.errors import ScanError

GAP = 0.05


def _slowly(said: bytes) -> Iterator[bytes]:
    for number in said:
        time.sleep(GAP)
        yield bytes([number])


def _drip(peer: socket.socket) -> None:
    for part in _slowly(RESULT[:30]):
        peer.sendall(part)


def test_the_deadline_is_one_for_the_whole(works, tmp_path):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(10 * GAP)
        threading.Thread(target=_drip, args=(theirs,)).start()
        began, had = time.monotonic(), 0
        while had < 30:
            had += len(ours.recv(100))
        works(time.monotonic() - began > 20 * GAP, "a limit for each read never ends it")
    told = tell(tmp_path, _slowly(RESULT + end(RESULT)), seconds=1)
    assert isinstance(told.error, ScanError)
    assert "deadline" in told.error.cause
    assert not told.error.transient
    assert told.seconds < 3
