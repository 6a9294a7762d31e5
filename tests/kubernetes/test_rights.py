"""A service account with exactly the printed Role can scan; without any one rule it is told what it lacks."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kubernetes.clusters import Cluster
from tests.kubernetes.scanning import Scanner, kubeconfig_is
from toolkit.auditor import Auditing
from toolkit.errors import ScanError
from toolkit.manifests.rbac import Scope, rules
from toolkit.runtimes.kubernetes import select

pytestmark = [pytest.mark.bundle]


def _rules(cluster: Cluster, scope: Scope) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = cluster.client.sanitize_for_serialization(rules(scope))
    return said


@pytest.fixture
def pod(cluster: Cluster, namespace: str, distroless: str) -> str:
    return cluster.pod(namespace, distroless)


def test_the_printed_role_is_enough(cluster: Cluster, namespace: str, pod: str, scanner: Scanner) -> None:
    least = _rules(cluster, Scope(namespace, pods=(pod,)))
    account = cluster.kubeconfig_for(namespace, "named", least)
    assert scanner(f"{namespace}/{pod}/app", kubeconfig=account).summary.total > 20
    other = cluster.pod(
        namespace, cluster.api.read_namespaced_pod(pod, namespace).spec.containers[0].image, name="other"
    )
    assert "may not" in scanner.refused(f"{namespace}/{other}/app", kubeconfig=account).cause


def test_the_role_for_a_namespace_lets_pods_be_selected(
    cluster: Cluster, namespace: str, pod: str, scanner: Scanner
) -> None:
    account = cluster.kubeconfig_for(namespace, "all", _rules(cluster, Scope(namespace)))
    with kubeconfig_is(account):
        uris, _ = select.find("", namespace, all_namespaces=False, auditing=Auditing())
    assert uris == [f"k8s-container://{namespace}/{pod}/app"]
    assert scanner(uris[0], kubeconfig=account).summary.total > 20


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("pods", "get pods"),
        ("pods/ephemeralcontainers", "patch pods/ephemeralcontainers"),
        ("pods/exec", "get pods/exec"),
    ],
)
def test_without_a_rule_the_message_names_verb_and_resource(
    cluster: Cluster, namespace: str, pod: str, scanner: Scanner, missing: str, words: str
) -> None:
    least = _rules(cluster, Scope(namespace, pods=(pod,)))
    left = [rule for rule in least if rule["resources"] != [missing]]
    assert len(left) == len(least) - 1
    account = cluster.kubeconfig_for(namespace, "less", left)
    error = scanner.refused(f"{namespace}/{pod}/app", kubeconfig=account)
    assert error.status == ScanError.status
    assert f"may not {words} in the namespace {namespace}" in error.cause
    assert "invoke manifests.rbac" in error.remedy
    assert not cluster.api.read_namespaced_pod(pod, namespace).spec.ephemeral_containers


def test_without_the_right_to_list_pods_a_selection_says_so(
    cluster: Cluster, namespace: str, pod: str
) -> None:
    account = cluster.kubeconfig_for(namespace, "named", _rules(cluster, Scope(namespace, pods=(pod,))))
    with kubeconfig_is(account), pytest.raises(ScanError, match="may not list pods in the namespace"):
        select.find("app=web", namespace, all_namespaces=False, auditing=Auditing())
