"""A tree that is not running is to show what the host's network is like."""

from __future__ import annotations

import socket

import pytest

from tests.hostile.conftest import BIN
from tests.hostile.naive import tool, visit

pytestmark = [pytest.mark.root, pytest.mark.bundle]

LOOK = f"{BIN}/ls /sys/class/net; {BIN}/ip -o link | {BIN}/wc -l; {BIN}/ss -Hlntux | {BIN}/wc -l"


@pytest.mark.parametrize("kind", ["rootfs", "image"])
def test_only_an_empty_network_is_seen(works, planted, scan, kind):
    uri, tree = planted(kind, lambda root: None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = f"0100007F:{listener.getsockname()[1]:04X}"
        works(
            port in visit(tree, [tool("cat"), "/proc/net/tcp"]).output, "the chroot shows the host's sockets"
        )
        attempt = scan(uri, f"{LOOK}; {BIN}/grep -c {port} /proc/net/tcp")
    assert attempt.outcome.complete, attempt.error
    assert attempt.lines == ["lo", "1", "0", "0"]
