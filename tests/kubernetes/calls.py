"""The calls of a test to a cluster, at the level of the official client: attach, look, exec."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream
from websocket import ABNF

from tests.kubernetes.clusters import Cluster, eventually

V5, V4 = "v5.channel.k8s.io", "v4.channel.k8s.io"
STDIN, STDOUT, STDERR, STATUS = range(4)
SLEEP = ["sh", "-c", "sleep 1000"]
VISITOR = {
    "runAsUser": 0,
    "runAsNonRoot": False,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN", "SYS_PTRACE"]},
}
"""What the security context of a container is that enters another."""


def attach(
    cluster: Cluster,
    namespace: str,
    *containers: dict[str, Any],
    pod: str = "target",
    **options: Any,
) -> Any:
    """Add ephemeral containers to a pod; return the pod."""
    usual = {"imagePullPolicy": "Never", "command": SLEEP}
    body = {"spec": {"ephemeralContainers": [usual | each for each in containers]}}
    return cluster.api.patch_namespaced_pod_ephemeralcontainers(pod, namespace, body, **options)


def ephemeral(cluster: Cluster, namespace: str, name: str, pod: str = "target") -> Any:
    """Return the status of an ephemeral container, or None while there is none."""
    status = cluster.api.read_namespaced_pod(pod, namespace).status
    return next((each for each in status.ephemeral_container_statuses or [] if each.name == name), None)


def running(cluster: Cluster, namespace: str, name: str, pod: str = "target") -> Any:
    """Return the status of an ephemeral container once it runs."""

    def runs() -> Any:
        found = ephemeral(cluster, namespace, name, pod)
        return found if found and found.state.running else None

    return eventually(runs)


def terminated(cluster: Cluster, namespace: str, name: str, pod: str = "target") -> Any:
    """Return how an ephemeral container ended, once it has."""

    def ends() -> Any:
        found = ephemeral(cluster, namespace, name, pod)
        return found.state.terminated if found else None

    return eventually(ends)


def refused(code: int, call: Any) -> dict[str, Any]:
    """Return the Status with which a call is refused."""
    with pytest.raises(ApiException) as caught:
        call()
    assert caught.value.status == code
    status: dict[str, Any] = json.loads(caught.value.body or "")
    assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", code)
    return status


@dataclass(frozen=True)
class Ended:
    """What a command left: its output, and the Status of its end."""

    stdout: bytes
    stderr: bytes
    status: dict[str, Any]

    @property
    def words(self) -> list[str]:
        """Return the output as words."""
        return self.stdout.decode().split()


def start(
    cluster: Cluster,
    namespace: str,
    *command: str,
    container: str = "app",
    pod: str = "target",
    protocol: str = V5,
    stdin: bool = False,
) -> Any:
    """Start a command; return the client's stream to it."""
    # the protocol goes by a header of the client's own, since those of a single call are not passed on
    cluster.client.set_default_header("sec-websocket-protocol", protocol)
    try:
        opened = stream(
            cluster.api.connect_get_namespaced_pod_exec,
            pod,
            namespace,
            container=container,
            command=list(command),
            stdin=stdin,
            stdout=True,
            stderr=True,
            binary=True,
            _preload_content=False,
        )
    finally:
        del cluster.client.default_headers["sec-websocket-protocol"]
    assert opened.subprotocol == protocol
    return opened


def frames(opened: Any) -> Iterator[tuple[int, bytes]]:
    """Yield channel and data of each frame until the server closes."""
    while True:
        code, frame = opened.sock.recv_data_frame(True)
        if code == ABNF.OPCODE_CLOSE:
            return
        if code == ABNF.OPCODE_BINARY:
            yield frame.data[0], frame.data[1:]


def collect(opened: Any) -> Ended:
    """Return what a command leaves, once it has ended."""
    parts: dict[int, list[bytes]] = {STDOUT: [], STDERR: [], STATUS: []}
    for channel, data in frames(opened):
        parts[channel].append(data)
    opened.close()
    said = {channel: b"".join(data) for channel, data in parts.items()}
    return Ended(said[STDOUT], said[STDERR], json.loads(said[STATUS] or b"{}"))


def run(cluster: Cluster, namespace: str, *command: str, **where: Any) -> Ended:
    """Run a command to its end."""
    return collect(start(cluster, namespace, *command, **where))
