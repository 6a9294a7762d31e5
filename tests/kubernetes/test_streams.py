"""Commands in containers: what goes through the stream and how it ends; of the double and of a real one."""

from __future__ import annotations

import hashlib
import threading
import time

import pytest
from kubernetes.client.exceptions import ApiException
from websocket import WebSocketTimeoutException

from tests.kubernetes.calls import SLEEP, STDOUT, V4, V5, attach, collect, frames, run, running, start
from tests.kubernetes.clusters import Cluster, eventually

EVERY_BYTE = bytes(range(256)) * 4096
MANY = 50_000_000


@pytest.fixture(params=[V5, V4])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def target(cluster: Cluster, namespace: str, shell: str) -> str:
    """The namespace of a pod `target` whose container `app` sleeps."""
    cluster.pod(namespace, shell, container={"command": SLEEP})
    return namespace


def _send(opened, data: bytes) -> None:
    for begin in range(0, len(data), 1 << 16):
        opened.write_channel(0, data[begin : begin + (1 << 16)])


def test_every_byte_goes_both_ways(protocol, cluster, target):
    opened = start(cluster, target, "head", "-c", str(len(EVERY_BYTE)), stdin=True, protocol=protocol)
    sender = threading.Thread(target=_send, args=(opened, EVERY_BYTE))
    sender.start()
    ended = collect(opened)
    sender.join()
    assert ended.stdout == EVERY_BYTE
    assert ended.status == {"metadata": {}, "status": "Success"}


def test_output_and_errors_go_apart_and_the_exit_status_comes_last(protocol, cluster, target):
    command = "echo out; echo err >&2; exit 3"
    ended = run(cluster, target, "sh", "-c", command, protocol=protocol)
    assert (ended.stdout, ended.stderr) == (b"out\n", b"err\n")
    how = {
        V5: "command terminated with exit code 3",
        V4: f"error executing command [sh -c {command}], exit code 3",
    }
    assert ended.status == {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: {how[protocol]}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": "3"}]},
    }


def test_a_command_that_is_not_there(protocol, cluster, target):
    status = run(cluster, target, "nope", protocol=protocol).status
    twice = "Internal error occurred: " * (2 if protocol == V5 else 1)
    assert status["message"].startswith(
        f"{twice}error executing command in container: failed to exec in container: failed to start exec "
    )
    assert 'exec: "nope": executable file not found in $PATH' in status["message"]
    assert (status["status"], status["reason"], status["code"]) == ("Failure", "InternalError", 500)


def test_the_first_frame_is_empty_and_none_is_large(protocol, cluster, target):
    opened = start(cluster, target, "head", "-c", "1000000", "/dev/zero", protocol=protocol)
    first, *rest = frames(opened)
    assert first == (STDOUT, b"")
    sizes = [len(data) for channel, data in rest if channel == STDOUT]
    assert sum(sizes) == 1_000_000
    assert max(sizes) <= 32768


def test_stdin_can_be_ended_alone_with_v5_only(protocol, cluster, target):
    opened = start(cluster, target, "cat", stdin=True, protocol=protocol)
    opened.write_channel(0, b"hello")
    opened.sock.send(b"\xff\x00", 2)
    opened.sock.settimeout(3)
    if protocol == V5:
        ended = collect(opened)
        assert (ended.stdout, ended.status["status"]) == (b"hello", "Success")
        return
    with pytest.raises(WebSocketTimeoutException):
        collect(opened)
    opened.close()


def test_a_client_that_goes_ends_stdin_but_not_the_command(protocol, cluster, target):
    command = "cat >/dev/null; echo >/tmp/eof; head -c 8000000 /dev/zero; echo >/tmp/written; sleep 60"
    opened = start(cluster, target, "sh", "-c", command, stdin=True, protocol=protocol)
    opened.write_channel(0, b"hello")
    next(frames(opened))
    opened.sock.shutdown()
    eventually(lambda: b"eof" in run(cluster, target, "ls", "/tmp").stdout, 10)
    # nobody reads what it writes now: it lives, and waits for ever
    time.sleep(1)
    assert b"written" not in run(cluster, target, "ls", "/tmp").stdout
    look = "grep -l eof /proc/[0-9]*/cmdline | grep -v $$"
    assert run(cluster, target, "sh", "-c", look).stdout


def test_a_process_that_keeps_the_output_open_keeps_the_stream_open(cluster, target):
    begun = time.monotonic()
    ended = run(cluster, target, "sh", "-c", "sleep 2 & echo hi")
    assert (ended.stdout, ended.status["status"]) == (b"hi\n", "Success")
    assert time.monotonic() - begun > 1.5


def test_what_nobody_reads_is_not_taken(protocol, cluster, target):
    opened = start(cluster, target, *SLEEP, stdin=True, protocol=protocol)
    opened.sock.settimeout(2)
    with pytest.raises((WebSocketTimeoutException, TimeoutError)):
        _send(opened, bytes(MANY))
    opened.sock.shutdown()


def test_the_end_of_a_command_that_leaves_input_unread_is_never_told(protocol, cluster, target):
    opened = start(cluster, target, "sleep", "1", stdin=True, protocol=protocol)
    _send(opened, bytes(1_000_000))
    opened.sock.settimeout(4)
    with pytest.raises(WebSocketTimeoutException):
        collect(opened)
    opened.close(timeout=0)


@pytest.mark.slow
def test_fifty_megabytes_each_way_survive_a_slow_reader(cluster, target):
    data = hashlib.shake_256(b"barescan").digest(MANY)
    # the command waits at its end, since what a command that ends at once has written can be lost
    command = f"head -c {MANY}; sleep 3"
    opened = start(cluster, target, "sh", "-c", command, stdin=True)
    sender = threading.Thread(target=_send, args=(opened, data))
    sender.start()
    time.sleep(2)
    came, size = hashlib.sha256(), 0
    for channel, piece in frames(opened):
        if channel == STDOUT:
            came.update(piece)
            size += len(piece)
    sender.join()
    assert (size, came.digest()) == (MANY, hashlib.sha256(data).digest())


def test_the_container_must_be_named_rightly(protocol, cluster, target):
    for container, message in (("zzz", "container zzz is not valid for pod target"),):
        with pytest.raises(ApiException) as caught:
            start(cluster, target, "true", container=container, protocol=protocol)
        assert caught.value.status == 0
        assert "Handshake status 400 Bad Request" in caught.value.reason
        assert message in caught.value.reason


def test_the_container_can_be_left_out_where_there_is_one(cluster, namespace, shell):
    usual = {"image": shell, "imagePullPolicy": "Never", "command": SLEEP}
    spec = {"containers": [usual | {"name": each} for each in ("a", "b")], "terminationGracePeriodSeconds": 1}
    cluster.pod(namespace, manifest={"metadata": {"name": "two"}, "spec": spec})
    cluster.pod(namespace, shell, name="one", container={"command": SLEEP})
    assert run(cluster, namespace, "echo", "hi", pod="one", container="").stdout == b"hi\n"
    with pytest.raises(ApiException) as caught:
        start(cluster, namespace, "true", pod="two", container="")
    assert "a container name must be specified for pod two, choose one of: [a b]" in caught.value.reason
    cluster.pod(namespace, shell, name="pending", spec={"nodeSelector": {"no": "such"}}, wait=False)
    with pytest.raises(ApiException) as caught:
        start(cluster, namespace, "true", pod="pending")
    assert "pod pending does not have a host assigned" in caught.value.reason


def test_a_container_that_does_not_run(protocol, cluster, target):
    attach(cluster, target, {"name": "x", "image": "nope:1"})
    if protocol == V5:
        status = run(cluster, target, "true", container="x").status
        said = 'unable to upgrade connection: container not found ("x")'
        assert status["message"] == f"Internal error occurred: {said}"
        assert (status["reason"], status["code"]) == ("InternalError", 500)
        assert status["details"] == {"causes": [{"message": said}]}
        return
    with pytest.raises(ApiException) as caught:
        start(cluster, target, "true", container="x", protocol=V4)
    assert "Handshake status 500" in caught.value.reason
    assert 'container not found ("x")' in caught.value.reason


def test_a_visitor_runs_commands_of_its_own(cluster, target, shell):
    attach(cluster, target, {"name": "x", "image": shell, "targetContainerName": "app"})
    running(cluster, target, "x")
    assert run(cluster, target, "cat", "/proc/1/comm", container="x").words
