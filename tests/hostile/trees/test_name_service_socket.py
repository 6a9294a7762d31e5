"""A socket of the target answers for nscd, whom the C library asks for users before it reads any file."""

from __future__ import annotations

import socket
import threading

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.naive import tool
from tests.hostile.trees.ways import empty, privately

pytestmark = [pytest.mark.root, pytest.mark.bundle]

NSCD = "var/run/nscd/socket"
BIND = 'mkdir -p /run/nscd; mount --bind "$1" /run/nscd; exec "$2" passwd somebody'


def test_it_is_not_asked(works, scan, tmp_path, monkeypatch):
    tree = empty(tmp_path)
    (tree / "etc/passwd").write_text("somebody:x:1234:1234::/:/bin/false\n")
    (tree / NSCD).parent.mkdir(parents=True)
    monkeypatch.chdir(tree)  # the name of a socket may have 107 bytes only
    asked = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(NSCD)
        listener.listen()

        def serve():
            while True:
                try:
                    with listener.accept()[0] as client:
                        asked.append(client.recv(4096))
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        privately(f"mount -t tmpfs t /run; {BIND}", (tree / NSCD).parent, tool("getent"))
        works(any(b"somebody" in each for each in asked), "getent asks the target's socket")
        asked.clear()
        script = f"{BIN}/test -S /{NSCD} && {BIN}/id somebody; {BIN}/ls -l /etc/passwd"
        attempt = scan(f"rootfs://{tree}", script)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines[0].startswith("uid=1234(somebody)")
    assert asked == []
