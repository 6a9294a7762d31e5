"""The demo in a real cluster: what it makes, and that it takes it away however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client

from tests import clusters
from toolkit import auditor
from toolkit.clusters import Cluster, RefusedError
from toolkit.demo import cluster as demo
from toolkit.errors import ScanError

IMAGE = ["--demo-image", demo.STATIC]


class Demo:
    """Calls `demo` in a directory of its own."""

    def __init__(self, folder: Path, kubeconfig: str) -> None:
        self.folder = folder
        self._environment = os.environ | {"KUBECONFIG": kubeconfig}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "toolkit", "demo", *arguments],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        output, errors = process.communicate(timeout=300)
        assert "Traceback" not in errors, errors
        return process.returncode, output, errors

    def scanned(self) -> list[str]:
        """Return the URIs of the targets with a complete record."""
        records = map(json.loads, (path.read_text() for path in self.folder.glob("reports/*/*/scan.json")))
        return sorted(each["target"]["uri"] for each in records if each["complete"])


@pytest.fixture
def run(tmp_path: Path) -> Demo:
    return Demo(tmp_path, os.environ.get("BARESCAN_KUBECONFIG", "/nowhere/kubeconfig"))


@pytest.fixture
def reached() -> Iterator[Cluster]:
    """The cluster, without the demo's namespace before and after."""
    found = clusters.reached()
    if clusters.exists(found, demo.NAMESPACE):
        pytest.skip(f"there is a namespace {demo.NAMESPACE}")
    yield found
    if clusters.exists(found, demo.NAMESPACE):
        found.call(found.core.delete_namespace, demo.NAMESPACE)
        demo._gone(found)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--on", "mars"], "--on local or --on kubernetes"),
        (["--keep"], "add --on kubernetes"),
        (["--demo-image", "x"], "add --on kubernetes"),
        (["--on", "local", "--context", "x"], "add --on kubernetes"),
    ],
)
def test_calls_that_mean_nothing(run, arguments, words):
    status, _, errors = run(*arguments)
    assert status == 1
    assert words in errors


@pytest.mark.cluster
@pytest.mark.slow
def test_pods_are_made_scanned_and_removed(run, reached):
    status, output, errors = run("--on", "kubernetes")
    assert status == 0, errors
    assert run.scanned() == [f"k8s-container://{demo.NAMESPACE}/{name}/app" for name in sorted(demo.PODS)]
    assert output.count("Compliance") == len(demo.PODS)
    assert not clusters.exists(reached, demo.NAMESPACE)


@pytest.mark.cluster
@pytest.mark.slow
def test_what_is_kept_is_cleared_by_the_next(run, reached):
    status, _, errors = run("--on", "kubernetes", "--keep", *IMAGE)
    assert status == 0, errors
    assert f"kubectl delete namespace {demo.NAMESPACE}" in errors
    first = reached.call(reached.core.read_namespace, demo.NAMESPACE).metadata
    pods = {
        each.metadata.name: each
        for each in reached.call(reached.core.list_namespaced_pod, demo.NAMESPACE).items
    }
    assert set(pods) == set(demo.PODS)
    assert {each.spec.containers[0].image for each in pods.values()} == {demo.STATIC}
    assert [name for name, each in pods.items() if each.spec.share_process_namespace] == [demo.SHARED]

    status, _, errors = run("--on", "kubernetes", *IMAGE)
    assert status == 0, errors
    assert "removing what an earlier demo left" in errors
    assert not clusters.exists(reached, demo.NAMESPACE)
    assert demo.LABEL in first.labels


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["making the namespace", "scan: "])
def test_an_interrupted_demo_leaves_nothing(run, reached, number, moment):
    process = run.start("--on", "kubernetes", *IMAGE)
    for line in process.stderr:
        if line.startswith(moment):
            break
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert not clusters.exists(reached, demo.NAMESPACE)


@pytest.mark.cluster
def test_a_namespace_of_somebody_else_is_left_alone(run, reached):
    reached.call(reached.core.create_namespace, {"metadata": {"name": demo.NAMESPACE}})
    status, _, errors = run("--on", "kubernetes")
    assert status == 2
    assert "that no demo made" in errors
    assert reached.call(reached.core.read_namespace, demo.NAMESPACE).status.phase == "Active"
    assert not reached.call(reached.core.list_namespaced_pod, demo.NAMESPACE).items


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--demo-image", "--image"])
def test_an_image_that_is_not_there_is_told_once_with_how_to_load_it(run, reached, flag):
    status, _, errors = run("--on", "kubernetes", flag, "barescan-none:1")
    assert status == 2
    assert errors.count("error:") == 1
    assert "barescan-none:1" in errors
    for way in ("ctr -n k8s.io images import -", "kind load docker-image", "minikube", "k3s ctr"):
        assert way in errors
    assert not clusters.exists(reached, demo.NAMESPACE)


@pytest.mark.cluster
@pytest.mark.slow
def test_a_program_that_ends_is_told_and_only_a_run_of_ours_is_removed(reached):
    demo._make_namespace(reached, "this-run")
    demo._make_pod(reached, demo._pod("ends", auditor.IMAGE))  # whose agent ends when nobody speaks to it
    with pytest.raises(ScanError, match="pod ends does not keep running"):
        demo._await_running(reached)
    demo._remove(reached, "another-run")
    assert reached.call(reached.core.read_namespace, demo.NAMESPACE).status.phase == "Active"
    demo._remove(reached, "this-run")
    assert not clusters.exists(reached, demo.NAMESPACE)


@pytest.mark.cluster
def test_images_of_ours_that_no_node_has_are_told_before_anything_is_made(reached):
    with pytest.raises(ScanError, match="no node has barescan-none:1 and barescan-none:2") as caught:
        demo._check_images(reached, ["barescan-none:1", "barescan-none:2"], "registry.example/auditor:1")
    assert "docker save barescan-none:1 barescan-none:2 |" in caught.value.remedy


@pytest.mark.cluster
def test_its_pods_are_restricted(reached):
    """The API server itself holds them to that."""
    with clusters.own_namespace(reached, {"pod-security.kubernetes.io/enforce": "restricted"}) as name:
        account = client.V1ServiceAccount(metadata=client.V1ObjectMeta(name="default"))
        with contextlib.suppress(RefusedError):  # the cluster was quicker
            reached.call(reached.core.create_namespaced_service_account, name, account)
        pod = demo._pod("static", demo.STATIC)
        made = reached.call(reached.core.create_namespaced_pod, name, pod, dry_run="All")
    assert made.spec.containers[0].security_context.read_only_root_filesystem


@pytest.mark.cluster
def test_who_may_make_no_namespace_is_told_what_else_there_is(reached, tmp_path):
    with clusters.own_namespace(reached) as name:
        path = clusters.with_rights(reached, name, tmp_path / "config", {"pods": ["get"]})
        status, _, errors = Demo(tmp_path, path)("--on", "kubernetes")
    assert status == 2
    assert "the demo makes a namespace of its own" in errors
    assert "invoke scan --target" in errors
