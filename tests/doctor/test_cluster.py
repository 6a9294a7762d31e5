"""Clusters: none, dead ones, and the real one with more or fewer rights."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path

import pytest
import yaml
from kubernetes import utils

from tests import clusters
from tests.clusters import as_user, with_rights
from tests.doctor.conftest import NOWHERE, kubeconfig
from toolkit.clusters import RefusedError
from toolkit.manifests.documents import plain
from toolkit.manifests.rbac import Scope, objects

CLUSTER = "k8s-container://"
NO_DOCKER = {"DOCKER_HOST": NOWHERE["DOCKER_HOST"]}
LEAST = {"pods": ["get"], "pods/ephemeralcontainers": ["patch"], "pods/exec": ["get", "create"]}


def test_no_kubeconfig_is_no_fault(doctor):
    said = doctor(**NOWHERE)
    assert said.ways[CLUSTER] == "not set up: KUBECONFIG names no file that is there: /nowhere/kubeconfig"
    assert CLUSTER not in said.checks
    said = doctor(KUBECONFIG="", HOME="/nowhere", **NO_DOCKER)
    assert said.ways[CLUSTER].startswith("not set up: there is no kubeconfig")


def test_a_context_that_is_asked_for_has_to_be_there(doctor, tmp_path):
    said = doctor("--context", "other", **NOWHERE)
    assert said.state(CLUSTER, "kubeconfig") == "no"
    path = kubeconfig(tmp_path / "config", "https://127.0.0.1:1")
    said = doctor("--context", "other", KUBECONFIG=path, **NO_DOCKER)
    assert said.state(CLUSTER, "kubeconfig") == "no"
    assert "other" in said.words(CLUSTER, "kubeconfig")
    assert said.ways[CLUSTER] == "can't be used: kubeconfig"


@pytest.mark.parametrize("content", ["[a, b]", "{", "\0", "contexts: 1"])
def test_what_is_no_kubeconfig(doctor, tmp_path, content):
    (tmp_path / "config").write_text(content)
    said = doctor(KUBECONFIG=str(tmp_path / "config"), **NO_DOCKER)
    assert said.state(CLUSTER, "kubeconfig") == "no"


def test_a_dead_port_is_told_at_once(doctor, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    path = kubeconfig(tmp_path / "config", f"https://127.0.0.1:{port}")
    began = time.monotonic()
    said = doctor(KUBECONFIG=path, **NO_DOCKER)
    assert time.monotonic() - began < 10
    assert said.words(CLUSTER, "kubeconfig") == "context here"
    assert said.state(CLUSTER, "API server") == "no"
    assert f"https://127.0.0.1:{port}" in said.words(CLUSTER, "API server")
    assert said.ways[CLUSTER] == "can't be used: API server"


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "check"), [("https", "API server"), ("http", "answer")])
def test_a_server_that_never_answers_is_given_up(doctor, tmp_path, scheme, check):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        path = kubeconfig(tmp_path / "config", f"{scheme}://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        said = doctor(KUBECONFIG=path, **NO_DOCKER)
    assert time.monotonic() - began < 20
    assert said.words(CLUSTER, "kubeconfig") == "context here"
    assert said.ways[CLUSTER] == f"can't be used: {check}"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--target", "docker://web"), "write k8s-container://NAMESPACE/POD[/CONTAINER]"),
        (("--target", "k8s-container://shop/Web"), "is no name of a pod"),
        (("--target", "k8s-container://shop/web", "--namespace", "shop"), "leave --namespace out"),
    ],
)
def test_targets_that_are_none(doctor, arguments, words):
    said = doctor(*arguments, **NOWHERE)
    assert said.status == 1
    assert words in said.errors


def _make_pod_web(reached, namespace: str) -> None:
    """Make a pod; whether it ever runs is all the same."""
    account = {"metadata": {"name": "default"}}
    with contextlib.suppress(RefusedError):  # the cluster was quicker
        reached.call(reached.core.create_namespaced_service_account, namespace, account)
    container = {"name": "app", "image": "none", "imagePullPolicy": "Never"}
    pod = {"metadata": {"name": "web"}, "spec": {"containers": [container]}}
    reached.call(reached.core.create_namespaced_pod, namespace, pod)


def _for_pod_web(reached, namespace: str, path: Path) -> str:
    """Apply what manifests.rbac prints for a pod; return the path of a kubeconfig of its account."""
    _make_pod_web(reached, namespace)
    scope = Scope(namespace=namespace, pods=("web",))
    for each in objects(scope):
        utils.create_from_dict(reached.core.api_client, plain(each))
    token = reached.call(
        reached.core.create_namespaced_service_account_token, scope.account, namespace, {"spec": {}}
    ).status.token
    return as_user(path, {"token": token})


@pytest.mark.cluster
class TestRealCluster:
    """What is said of the cluster for tests."""

    @pytest.fixture(autouse=True)
    def _elsewhere(self, monkeypatch):
        monkeypatch.setenv("DOCKER_HOST", NOWHERE["DOCKER_HOST"])
        monkeypatch.setenv("KUBECONFIG", clusters.kubeconfig())

    def test_as_its_administrator(self, doctor, reached, namespace):
        said = doctor("--namespace", namespace)
        assert said.status == 0
        assert reached.host in said.words(CLUSTER, "API server")
        assert said.words(CLUSTER, "version") == f"Kubernetes {'.'.join(map(str, reached.version))}"
        assert said.words(CLUSTER, "patch pods/ephemeralcontainers") == f"allowed in {namespace}"
        assert "dry run" in said.words(CLUSTER, "Pod Security")
        states = {name: state for name, (state, _) in said.checks[CLUSTER].items()}
        image = states.pop("auditor image")  # whether it was loaded is the cluster's matter
        assert set(states.values()) == {"ok"}
        assert ("create pods/exec" in states) == (reached.version >= (1, 35))
        assert said.ways[CLUSTER].startswith("can't be" if image == "no" else "can be used")
        assert not reached.call(reached.core.list_namespaced_pod, namespace).items

    def test_images_that_are_on_no_node(self, doctor, namespace):
        words = doctor("--namespace", namespace, "--image", "barescan-none:1").words(CLUSTER, "auditor image")
        assert "barescan-none:1" in words
        assert "ctr -n k8s.io images import" in words
        said = doctor("--namespace", namespace, "--image", "registry.example/barescan:1")
        assert said.state(CLUSTER, "auditor image") == "unknown"
        assert said.ways[CLUSTER] == "can be used, as far as can be told (unknown: auditor image)"

    @pytest.mark.parametrize(
        ("level", "state"), [("baseline", "no"), ("restricted", "no"), ("privileged", "ok")]
    )
    def test_pod_security(self, doctor, reached, namespace, level, state):
        labels = {"pod-security.kubernetes.io/enforce": level}
        reached.call(reached.core.patch_namespace, namespace, {"metadata": {"labels": labels}})
        said = doctor("--namespace", namespace)
        assert said.state(CLUSTER, "Pod Security") == state
        if state == "no":
            assert f"kubectl label namespace {namespace}" in said.words(CLUSTER, "Pod Security")
            assert "Pod Security" in said.ways[CLUSTER]

    def test_a_namespace_that_is_not_there(self, doctor, reached):
        said = doctor("--namespace", "barescan-none")
        assert said.state(CLUSTER, "namespace") == "no"
        assert said.ways[CLUSTER].startswith("can't be used: namespace")
        assert said.output.count("barescan-none") == 1
        assert not [name for name in said.checks[CLUSTER] if " pods" in name or name == "Pod Security"]
        assert said.state(CLUSTER, "nodes' kernels") == "ok"  # which are there all the same

    def test_with_the_least_rights(self, doctor, reached, namespace, tmp_path):
        path = with_rights(reached, namespace, tmp_path / "config", LEAST)
        said = doctor("--namespace", namespace, KUBECONFIG=path)
        rights = {name: state for name, (state, _) in said.checks[CLUSTER].items() if " pods" in name}
        assert rights.pop("list pods") == said.state(CLUSTER, "list events") == "no"
        assert set(rights.values()) == {"ok"}
        unknown = ["Pod Security", "nodes' kernels", "auditor image"]
        assert {said.state(CLUSTER, name) for name in unknown} == {"unknown"}
        assert said.ways[CLUSTER] == f"can be used, as far as can be told (unknown: {', '.join(unknown)})"

    def test_rights_that_are_missing_are_named(self, doctor, reached, namespace, tmp_path):
        path = with_rights(reached, namespace, tmp_path / "config", {"pods": ["get", "create"]})
        said = doctor("--namespace", namespace, KUBECONFIG=path)
        assert said.state(CLUSTER, "get pods") == "ok"
        assert said.state(CLUSTER, "Pod Security") == "ok"  # it may try
        for name in ("patch pods/ephemeralcontainers", "get pods/exec"):
            assert said.state(CLUSTER, name) == "no"
            assert name in said.ways[CLUSTER]
        assert said.output.count("invoke manifests.rbac") == 1  # with the first it is for
        assert "invoke manifests.rbac" in said.words(CLUSTER, "patch pods/ephemeralcontainers")

    def test_rights_to_named_pods_are_asked_for_by_name(self, doctor, reached, namespace, tmp_path):
        path = _for_pod_web(reached, namespace, tmp_path / "config")
        said = doctor("--namespace", namespace, KUBECONFIG=path)
        by_name = ["get pods", "patch pods/ephemeralcontainers", "get pods/exec"]
        for name in by_name:
            assert said.state(CLUSTER, name) == "unknown"
            assert "may be allowed for named pods: --target asks" in said.words(CLUSTER, name)
        assert said.state(CLUSTER, "list pods") == "no"
        assert said.ways[CLUSTER].startswith("can be used, as far as can be told")
        assert said.output.count("invoke manifests.rbac") == 1

        said = doctor("--target", f"k8s-container://{namespace}/web/app", KUBECONFIG=path)
        for name in by_name:
            assert (said.state(CLUSTER, name), said.words(CLUSTER, name)) == ("ok", "allowed for web")
        assert "list pods" not in said.checks[CLUSTER]  # it is not needed for a target
        assert said.words(CLUSTER, "target") == "pod web, container app"

        said = doctor("--target", f"k8s-container://{namespace}/other", KUBECONFIG=path)
        assert {said.state(CLUSTER, name) for name in by_name} == {"no"}
        assert said.ways[CLUSTER].startswith("can't be used: get pods")

    def test_a_target_that_is_not_there(self, doctor, reached, namespace):
        said = doctor("--target", f"k8s-container://{namespace}/none")
        assert said.state(CLUSTER, "target") == "no"
        assert "there is no pod none" in said.words(CLUSTER, "target")
        _make_pod_web(reached, namespace)
        said = doctor("--target", f"k8s-container://{namespace}/web/none")
        assert "has no container none → it has app" in said.words(CLUSTER, "target")

    def test_lines_fit(self, doctor, reached, namespace, tmp_path):
        path = with_rights(reached, namespace, tmp_path / "config", {"pods": ["get", "create"]})
        said = doctor("--namespace", namespace, KUBECONFIG=path)
        assert [line for line in said.output.splitlines() if len(line) > 100 and "/bundle-" not in line] == []

    def test_who_may_try_learns_that_the_auditor_is_not_admitted(self, doctor, reached, namespace, tmp_path):
        labels = {"pod-security.kubernetes.io/enforce": "baseline"}
        reached.call(reached.core.patch_namespace, namespace, {"metadata": {"labels": labels}})
        path = with_rights(reached, namespace, tmp_path / "config", {**LEAST, "pods": ["get", "create"]})
        said = doctor("--namespace", namespace, KUBECONFIG=path)
        assert said.state(CLUSTER, "Pod Security") == "no"
        assert "SYS_ADMIN" in said.words(CLUSTER, "Pod Security")

    def test_credentials_that_are_refused(self, doctor, tmp_path):
        said = doctor(KUBECONFIG=as_user(tmp_path / "config", {"token": "wrong"}))
        assert said.state(CLUSTER, "API server") == "no"
        assert "does not accept these credentials" in said.words(CLUSTER, "API server")

    def test_a_kubeconfig_without_a_current_context(self, doctor, tmp_path):
        given = yaml.safe_load(Path(clusters.kubeconfig()).read_text())
        name = given.pop("current-context")
        (tmp_path / "config").write_text(yaml.safe_dump(given))
        said = doctor("--context", name, KUBECONFIG=str(tmp_path / "config"))
        assert said.state(CLUSTER, "API server") == "ok"
        assert said.words(CLUSTER, "kubeconfig") == f"context {name}"
        assert doctor(KUBECONFIG=str(tmp_path / "config")).state(CLUSTER, "kubeconfig") == "no"
