"""What can't be scanned ends in a sentence with the next step, as soon as it can be known; none is left."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kubernetes.clusters import Cluster, eventually
from tests.kubernetes.double.kubelet import Ways
from tests.kubernetes.double.server import About, Options
from tests.kubernetes.scanning import Scanner
from toolkit.errors import ScanError

pytestmark = [pytest.mark.bundle]


@pytest.fixture
def pod(cluster: Cluster, namespace: str, distroless: str) -> str:
    return cluster.pod(namespace, distroless)


def _auditors(cluster: Cluster, namespace: str, pod: str) -> list[Any]:
    found = cluster.api.read_namespaced_pod(pod, namespace).status.ephemeral_container_statuses
    return list(found or [])


def _refused(scanner: Scanner, target: str, cause: str, remedy: str, **more: Any) -> None:
    error = scanner.refused(target, **more)
    assert error.status == ScanError.status
    assert cause in error.cause
    assert remedy in error.remedy
    assert "\n" not in error.cause


def test_pod_security(cluster: Cluster, distroless: str, scanner: Scanner) -> None:
    namespace = cluster.namespace({"pod-security.kubernetes.io/enforce": "baseline"})
    pod = cluster.pod(namespace, distroless)
    error = scanner.refused(f"{namespace}/{pod}/app")
    assert f"Pod Security level baseline of the namespace {namespace} does not admit" in error.cause
    assert '"SYS_ADMIN"' in error.cause
    assert f"scan its image with image://{distroless}" in error.remedy
    assert (
        f"kubectl label namespace {namespace} pod-security.kubernetes.io/enforce=privileged" in error.remedy
    )
    assert not _auditors(cluster, namespace, pod)


def test_what_is_not_there(cluster: Cluster, namespace: str, pod: str, scanner: Scanner) -> None:
    _refused(
        scanner, f"{namespace}/nope/app", f"no pod nope in the namespace {namespace}", "kubectl get pods"
    )
    _refused(scanner, f"{namespace}/{pod}/nope", f"the pod {pod} has no container nope", "name one of app")


def test_an_image_that_may_not_be_pulled_is_told_by_an_event_before_the_status_knows(
    cluster: Cluster, namespace: str, pod: str, scanner: Scanner
) -> None:
    _refused(
        scanner,
        f"{namespace}/{pod}/app",
        "the auditor image nope:1 can't be had: the node does not have it, and may not pull it",
        "docker save nope:1 | ctr -n k8s.io images import -",
        image="nope:1",
    )
    assert not any(
        each.state.waiting and each.state.waiting.reason == "ErrImageNeverPull"
        for each in _auditors(cluster, namespace, pod)
    )


def test_without_the_right_to_see_events_the_status_tells_it_in_the_end(
    cluster: Cluster, namespace: str, pod: str, scanner: Scanner
) -> None:
    blind = cluster.kubeconfig_for(namespace, "blind")
    cause = "the node does not have it, and may not pull it"
    _refused(scanner, f"{namespace}/{pod}/app", cause, "docker save", image="nope:1", kubeconfig=blind)


def test_an_image_that_can_not_be_pulled(namespace: str, pod: str, scanner: Scanner) -> None:
    cause = "the auditor image nope:1 can't be had: "
    wanted = {"image": "nope:1", "pull_policy": "IfNotPresent"}
    _refused(scanner, f"{namespace}/{pod}/app", cause, "kind load docker-image", **wanted)


def test_an_image_that_has_no_name(namespace: str, pod: str, scanner: Scanner) -> None:
    cause = "'UPPER:1' is no name of an image"
    _refused(scanner, f"{namespace}/{pod}/app", cause, "--image", image="UPPER:1")


def test_an_image_that_is_no_auditor(namespace: str, pod: str, scanner: Scanner, distroless: str) -> None:
    error = scanner.refused(f"{namespace}/{pod}/app", image=distroless)
    assert distroless in error.cause
    assert "does not answer as an auditor" in error.cause or "ended at once" in error.cause
    assert "invoke images.build" in error.remedy


def test_pods_that_do_not_run(cluster: Cluster, namespace: str, shell: str, scanner: Scanner) -> None:
    nowhere = cluster.pod(namespace, shell, name="pending", spec={"nodeSelector": {"no": "such"}}, wait=False)
    _refused(scanner, f"{namespace}/{nowhere}/app", "is on no node yet", "once it runs")
    once = {"command": ["true"]}
    ended = cluster.pod(
        namespace, shell, name="ended", container=once, spec={"restartPolicy": "Never"}, wait=False
    )
    eventually(lambda: cluster.api.read_namespaced_pod(ended, namespace).status.phase == "Succeeded")
    _refused(scanner, f"{namespace}/{ended}/app", "has ended (Succeeded)", f"image://{shell}")
    failing = {"command": ["false"]}
    looping = cluster.pod(namespace, shell, name="looping", container=failing, wait=False)

    def waits() -> bool:
        (status,) = cluster.api.read_namespaced_pod(looping, namespace).status.container_statuses or [None]
        return bool(status and status.state.waiting and status.state.waiting.reason == "CrashLoopBackOff")

    eventually(waits)
    _refused(
        scanner, f"{namespace}/{looping}/app", "does not run (CrashLoopBackOff", "kubectl logs --previous"
    )


def test_a_pod_that_is_being_deleted(cluster: Cluster, namespace: str, shell: str, scanner: Scanner) -> None:
    stubborn = {"command": ["sh", "-c", "trap '' TERM; sleep 3600 & wait; sleep 3600"]}
    pod = cluster.pod(namespace, shell, container=stubborn, spec={"terminationGracePeriodSeconds": 30})
    cluster.api.delete_namespaced_pod(pod, namespace)
    _refused(scanner, f"{namespace}/{pod}/app", f"the pod {pod} is being deleted", "scan another one")


def test_a_static_pod(cluster: Cluster, namespace: str, shell: str, scanner: Scanner) -> None:
    mirror = {"kubernetes.io/config.mirror": "0"}
    pod = cluster.pod(namespace, shell, annotations=mirror, spec={"nodeName": "nowhere"}, wait=False)
    _refused(
        scanner, f"{namespace}/{pod}/app", f"{pod} is a static pod", "invoke manifests.sidecar --kind pod"
    )


def test_a_pod_without_memory_for_the_auditor_keeps_its_workload(
    cluster: Cluster, namespace: str, distroless: str, scanner: Scanner
) -> None:
    limited = {"resources": {"limits": {"memory": "48Mi"}}}
    pod = cluster.pod(namespace, distroless, container=limited)
    error = scanner.refused(f"{namespace}/{pod}/app")
    assert error.status == ScanError.status
    (status,) = cluster.api.read_namespaced_pod(pod, namespace).status.container_statuses
    assert status.restart_count == 0
    assert status.state.running


@pytest.mark.docker
def test_a_node_that_ignores_the_target(doubles: Any, scanners: Any, base_image: str) -> None:
    cluster = doubles(Options(ways=Ways(ignores_target=True)))
    namespace = cluster.namespace()
    pod = cluster.pod(namespace, base_image)
    cause = "was not put into the PID namespace of its target"
    _refused(scanners(cluster), f"{namespace}/{pod}/app", cause, "image://")


@pytest.mark.docker
def test_a_cluster_without_ephemeral_containers(doubles: Any, scanners: Any, base_image: str) -> None:
    cluster = doubles(Options(about=About(ephemeral=False)))
    namespace = cluster.namespace()
    pod = cluster.pod(namespace, base_image)
    cause = "this cluster has no ephemeral containers"
    _refused(scanners(cluster), f"{namespace}/{pod}/app", cause, "invoke manifests.sidecar")


@pytest.mark.docker
def test_a_cluster_that_is_too_old(doubles: Any, scanners: Any) -> None:
    cluster = doubles(Options(about=About(version="v1.21.14")))
    _refused(scanners(cluster), "any/pod/app", "the cluster is Kubernetes 1.21", "pid://")


@pytest.mark.docker
def test_from_1_35_on_exec_needs_the_right_to_create(doubles: Any, scanners: Any, base_image: str) -> None:
    cluster = doubles(Options(about=About(version="v1.35.0")))
    namespace = cluster.namespace()
    pod = cluster.pod(namespace, base_image)
    rules = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["pods/ephemeralcontainers"], "verbs": ["patch"]},
        {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get"]},
    ]
    account = cluster.kubeconfig_for(namespace, "old", rules)
    cause = f"may not create pods/exec in the namespace {namespace}"
    _refused(scanners(cluster), f"{namespace}/{pod}/app", cause, "manifests.rbac", kubeconfig=account)
