"""The demo in a real cluster: what it makes, and that it takes it away however it ends."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client

from tests import clusters
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
def image(auditor_image: str) -> str:
    """The auditor image of this very version, in the cluster."""
    return clusters.load(auditor_image)


@pytest.fixture
def reached() -> Cluster:
    return clusters.reached()


@pytest.fixture
def made(reached: Cluster) -> Iterator[list[str]]:
    """Collect the namespaces of the demos of a test, which are removed whatever happens."""
    found: list[str] = []
    yield found
    for name in found:
        with contextlib.suppress(RefusedError):  # as it should be, it is gone
            reached.call(reached.core.delete_namespace, name)


def _namespace(said: str, made: list[str]) -> str:
    """Return the namespace that a demo says it makes."""
    (name,) = re.findall(r"making the namespace (barescan-demo-[0-9a-f]{8}) ", said)
    made.append(name)
    return str(name)


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


@pytest.mark.bundle
@pytest.mark.docker
@pytest.mark.cluster
@pytest.mark.slow
def test_pods_are_made_scanned_and_removed(run, reached, made, image):
    status, output, errors = run("--on", "kubernetes", "--image", image)
    assert status == 0, errors
    namespace = _namespace(errors, made)
    assert run.scanned() == [f"k8s-container://{namespace}/{name}/app" for name in sorted(demo.PODS)]
    assert output.count("Compliance") == len(demo.PODS)
    assert not clusters.exists(reached, namespace)


@pytest.mark.bundle
@pytest.mark.docker
@pytest.mark.cluster
@pytest.mark.slow
def test_what_is_kept_stays_when_another_demo_runs(run, reached, made, image):
    status, _, errors = run("--on", "kubernetes", "--image", image, "--keep", *IMAGE)
    assert status == 0, errors
    kept = _namespace(errors, made)
    assert f"kubectl delete namespace {kept}" in errors
    first = reached.call(reached.core.read_namespace, kept).metadata
    pods = {each.metadata.name: each for each in reached.call(reached.core.list_namespaced_pod, kept).items}
    assert set(pods) == set(demo.PODS)
    assert {each.spec.containers[0].image for each in pods.values()} == {demo.STATIC}
    assert [name for name, each in pods.items() if each.spec.share_process_namespace] == [demo.SHARED]

    status, _, errors = run("--on", "kubernetes", "--image", image, *IMAGE)
    assert status == 0, errors
    another = _namespace(errors, made)
    assert another != kept
    assert not clusters.exists(reached, another)
    assert reached.call(reached.core.read_namespace, kept).status.phase == "Active"
    assert first.labels[demo.LABEL] in kept


@pytest.mark.cluster
def test_what_earlier_demos_left_is_named_once_it_is_old(reached, made, monkeypatch):
    demo._make_namespace(reached, "of-earlier")
    made.append(demo.namespace_of("of-earlier"))
    said: list[str] = []
    demo._name_left(reached, said.append)
    assert made[0] not in " ".join(said)
    monkeypatch.setattr(demo, "_LEFT_AFTER", -dt.timedelta(minutes=5))
    demo._name_left(reached, said.append)
    assert "kubectl delete namespace" in said[-1]
    assert made[0] in said[-1].split()
    assert reached.call(reached.core.read_namespace, made[0]).status.phase == "Active"


@pytest.mark.bundle
@pytest.mark.docker
@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["making the namespace", "scan: "])
def test_an_interrupted_demo_leaves_nothing(run, reached, made, number, moment, image):
    process = run.start("--on", "kubernetes", "--image", image, *IMAGE)
    said = ""
    for line in process.stderr:
        said += line
        if line.startswith(moment):
            break
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert not clusters.exists(reached, _namespace(said, made))


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--demo-image", "--image"])
def test_an_image_that_is_not_there_is_told_once_with_how_to_load_it(run, reached, made, flag):
    status, _, errors = run("--on", "kubernetes", flag, "barescan-none:1")
    assert status == 2
    assert errors.count("error:") == 1
    assert "barescan-none:1" in errors
    for way in ("ctr -n k8s.io images import -", "kind load docker-image", "minikube", "k3s ctr"):
        assert way in errors
    if "making the namespace" in errors:  # a node that lists all its images tells before
        assert not clusters.exists(reached, _namespace(errors, made))


@pytest.mark.cluster
@pytest.mark.slow
def test_a_program_that_does_not_start_is_told_and_only_a_run_of_ours_is_removed(reached, made):
    run = secrets.token_hex(4)
    namespace = demo.namespace_of(run)
    made.append(namespace)
    demo._make_namespace(reached, run)
    pod = demo._pod("ends", demo.STATIC)
    assert pod.spec is not None
    pod.spec.containers[0].command = ["/nothing"]
    demo._make_pod(reached, namespace, pod)
    with pytest.raises(ScanError, match="pod ends does not keep running"):
        demo._await_running(reached, namespace)
    labels = {"metadata": {"labels": {demo.LABEL: "another"}}}
    reached.call(reached.core.patch_namespace, namespace, labels)
    demo._remove(reached, run)  # its name is not enough
    assert reached.call(reached.core.read_namespace, namespace).status.phase == "Active"
    labels["metadata"]["labels"][demo.LABEL] = run
    reached.call(reached.core.patch_namespace, namespace, labels)
    demo._remove(reached, run)
    assert not clusters.exists(reached, namespace)


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize("interrupted", [True, False])
def test_what_can_not_be_removed_is_told_and_does_not_hide_why_it_ended(
    reached, made, monkeypatch, interrupted
):
    said: list[str] = []
    here = reached._configuration.host

    def run_into_a_dead_server() -> None:
        with demo.targets(reached, "registry.example/auditor:1", demo.STATIC, said.append):
            monkeypatch.setattr(reached._configuration, "host", "http://127.0.0.1:1")
            if interrupted:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt if interrupted else ScanError) as caught:
        run_into_a_dead_server()
    monkeypatch.setattr(reached._configuration, "host", here)
    told = said[-1] if interrupted else str(caught.value)
    namespace = _namespace("\n".join(said), made)
    assert f"the namespace {namespace} was not removed" in told
    assert f"kubectl delete namespace {namespace}" in told
    assert clusters.exists(reached, namespace)


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
