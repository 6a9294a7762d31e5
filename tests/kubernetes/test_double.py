"""What can be switched on in the double, and that it leaves nothing."""

from __future__ import annotations

import subprocess
import time
from typing import Any

import pytest
from kubernetes.client import VersionApi
from urllib3.exceptions import HTTPError
from websocket import WebSocketConnectionClosedException

from tests.kubernetes.calls import SLEEP, attach, collect, refused, run, running, start
from tests.kubernetes.clusters import Cluster, DoubleCluster
from tests.kubernetes.double import About, Double, Options, Ways
from tests.kubernetes.double.engine import LABEL
from toolkit.dockers import connect

pytestmark = pytest.mark.docker


@pytest.fixture
def plain(doubles, shell_image) -> DoubleCluster:
    """A double as it is usually, with a pod `target` in the namespace `default`."""
    return _with_target(doubles(Options()), shell_image)


def _with_target(cluster: DoubleCluster, image: str) -> DoubleCluster:
    cluster.pod("default", image, container={"command": SLEEP})
    return cluster


def test_requests_can_be_too_many(plain):
    faults = plain.double.options.faults
    faults.too_many = 1
    begun = time.monotonic()
    assert plain.api.read_namespaced_pod("target", "default").metadata.name == "target"
    assert time.monotonic() - begun > 0.9, "the client did not wait as it was told"
    faults.too_many, faults.only = 1, "POST"
    plain.api.read_namespaced_pod("target", "default")
    assert faults.too_many == 1


def test_requests_can_be_slow_or_never_answered(plain):
    faults = plain.double.options.faults
    faults.latency = 0.5
    begun = time.monotonic()
    plain.api.list_namespace()
    assert time.monotonic() - begun > 0.5
    faults.latency, faults.hang = 0, 1
    plain.client.rest_client.pool_manager.connection_pool_kw["retries"] = False
    with pytest.raises(HTTPError):
        plain.api.list_namespace(_request_timeout=0.5)
    assert plain.api.list_namespace(_request_timeout=5).items


def test_an_old_server_has_no_ephemeral_containers(doubles, shell_image):
    old = _with_target(doubles(Options(about=About("v1.21.14", ephemeral=False))), shell_image)
    assert VersionApi(old.client).get_code().git_version == "v1.21.14"
    names = {each.name for each in old.api.get_api_resources().resources}
    assert "pods/exec" in names
    assert "pods/ephemeralcontainers" not in names
    status = refused(404, lambda: attach(old, "default", {"name": "x", "image": shell_image}))
    assert status["message"] == "the server could not find the requested resource"


def test_a_newer_server_asks_for_one_more_right(doubles, shell_image):
    newer = _with_target(doubles(Options(about=About("v1.35.0"))), shell_image)
    rules = [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get"]}]
    limited = Cluster(newer.kubeconfig_for("default", "limited", rules))
    with pytest.raises(Exception, match=r'cannot create resource \\"pods/exec\\"'):
        start(limited, "default", "true")
    scanner = Cluster(newer.kubeconfig_for("default"))
    assert run(scanner, "default", "echo", "hi").stdout == b"hi\n"


def test_a_runtime_can_ignore_the_target(doubles, shell_image):
    odd = _with_target(doubles(Options(ways=Ways(ignores_target=True))), shell_image)
    attach(odd, "default", {"name": "x", "image": shell_image, "targetContainerName": "app"})
    running(odd, "default", "x")
    links = {
        each: run(odd, "default", "readlink", "/proc/self/ns/pid", container=each).stdout for each in "x"
    }
    assert links["x"] != run(odd, "default", "readlink", "/proc/self/ns/pid").stdout


def test_a_line_can_be_slow_or_lose_the_end(plain):
    line = plain.double.options.line
    line.bytes_a_second = 500_000
    begun = time.monotonic()
    assert len(run(plain, "default", "head", "-c", "500000", "/dev/zero").stdout) == 500_000
    assert time.monotonic() - begun > 0.9
    line.bytes_a_second, line.loses_tail = 0, True
    ended = run(plain, "default", "head", "-c", "500000", "/dev/zero")
    assert 0 < len(ended.stdout) < 500_000
    assert ended.status["status"] == "Success"


def test_streams_can_be_broken(plain):
    opened = start(plain, "default", "cat", stdin=True)
    plain.double.break_connections()
    with pytest.raises((OSError, WebSocketConnectionClosedException)):
        collect(opened)
    assert run(plain, "default", "echo", "hi").stdout == b"hi\n"


def test_output_is_not_gathered_in_the_server(plain):
    opened = start(plain, "default", "sh", "-c", "head -c 50000000 /dev/zero; echo >/tmp/written")
    time.sleep(2)
    assert not run(plain, "default", "ls", "/tmp").stdout
    assert len(collect(opened).stdout) == 50_000_000


def test_pods_can_have_a_network(doubles, shell_image):
    linked = _with_target(doubles(Options(ways=Ways(network="bridge"))), shell_image)
    address = linked.api.read_namespaced_pod("target", "default").status.pod_ip
    assert address in run(linked, "default", "cat", "/proc/net/fib_trie").words


def test_nothing_is_left(shell_image):
    with Double() as double:
        cluster = _with_target(DoubleCluster(double), shell_image)
        attach(cluster, "default", {"name": "x", "image": shell_image})
        running(cluster, "default", "x")
        pod = cluster.api.read_namespaced_pod("target", "default").metadata.uid
        filters: Any = {"label": f"{LABEL}.pod={pod}"}
        assert len(connect().containers.list(filters=filters)) == 3
        assert (double.folder / "pods" / pod).is_dir()
    assert not connect().containers.list(all=True, filters=filters)
    assert not double.folder.exists()


def test_what_a_killed_run_left_is_removed(shell_image):
    with subprocess.Popen(["/bin/true"]) as dead:
        dead.wait()
    left = connect().containers.create(shell_image, labels={LABEL: str(dead.pid)})
    with Double():
        assert left.id not in {each.id for each in connect().containers.list(all=True)}
