"""The one stream to an auditor: whole in both directions, however slow one side is, in bounded memory."""

from __future__ import annotations

import hashlib
import os
import threading
import time

import pytest

from tests.kubernetes.clusters import Cluster
from tests.kubernetes.scanning import Scanner
from toolkit.auditor import wait_arguments
from toolkit.runtimes.kubernetes import channels

pytestmark = [pytest.mark.bundle]
_MEGABYTES = 50


@pytest.fixture
def auditor(cluster: Cluster, namespace: str, scanner: Scanner) -> str:
    """A pod that is nothing but a waiting auditor."""
    return cluster.pod(namespace, scanner.image, container={"args": wait_arguments(None)})


@pytest.mark.parametrize("pause", [0.0, 0.002], ids=["fast reader", "slow reader"])
def test_50_mb_arrive_each_way(auditor: str, namespace: str, scanner: Scanner, pause: float) -> None:
    block = os.urandom(1 << 20)
    wanted = hashlib.sha256(block * _MEGABYTES).hexdigest()
    arrived, length = hashlib.sha256(), 0
    with scanner.program(namespace, auditor, "app", "cat") as connection:
        fd = connection.stream.read_fd
        os.set_blocking(fd, True)
        writer = threading.Thread(target=_write, args=(fd, block * _MEGABYTES))
        writer.start()
        while length < _MEGABYTES << 20 and (part := os.read(fd, 1 << 16)):
            arrived.update(part)
            length += len(part)
            time.sleep(pause)
        writer.join()
    assert length == _MEGABYTES << 20
    assert arrived.hexdigest() == wanted


def _write(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def test_the_tail_of_a_program_that_ends_arrives_also_when_nobody_reads_for_a_while(
    auditor: str, namespace: str, scanner: Scanner
) -> None:
    size = 20 << 20
    length = 0
    with scanner.program(namespace, auditor, "app", "head", "-c", str(size), "/dev/zero") as connection:
        fd = connection.stream.read_fd
        os.set_blocking(fd, True)
        time.sleep(1)
        while part := os.read(fd, 1 << 16):
            length += len(part)
    assert length == size


def test_no_more_is_held_than_a_slow_reader_leaves_room_for(
    auditor: str, namespace: str, scanner: Scanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    receive = channels._Carrier._receive

    def noting(self: channels._Carrier) -> None:
        receive(self)
        held.append(len(self._incoming))

    monkeypatch.setattr(channels._Carrier, "_receive", noting)
    with scanner.program(namespace, auditor, "app", "head", "-c", str(50 << 20), "/dev/zero") as connection:
        os.set_blocking(connection.stream.read_fd, True)
        time.sleep(2)
        assert os.read(connection.stream.read_fd, 1)
    assert max(held) >= 1 << 20
    assert max(held) < (1 << 20) + (1 << 16)


def test_what_a_program_complains_of_is_kept(auditor: str, namespace: str, scanner: Scanner) -> None:
    with scanner.program(namespace, auditor, "app", "ls", "/nowhere") as connection:
        os.set_blocking(connection.stream.read_fd, True)
        while os.read(connection.stream.read_fd, 1 << 16):
            pass
    assert "/nowhere" in connection.complaint
