"""A service account with exactly the printed Role can scan; without any one rule it is told what it lacks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kubernetes.clusters import Cluster
from tests.kubernetes.scanning import Scanner, kubeconfig_is
from toolkit import clusters
from toolkit.auditor import Auditing
from toolkit.clusters import RefusedError
from toolkit.errors import CallError, ScanError
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


@pytest.mark.parametrize(
    ("pod", "container", "status", "words"),
    [
        ("target", "app", 403, 'cannot get resource "pods/exec" in API group ""'),
        ("target", "zzz", 400, "container zzz is not valid for pod target"),
        ("nope", "app", 404, 'pods "nope" not found'),
    ],
)
def test_what_is_said_to_an_exec_that_is_refused_arrives_word_by_word(
    cluster: Cluster, namespace: str, distroless: str, pod: str, container: str, status: int, words: str
) -> None:
    cluster.pod(namespace, distroless)
    nothing = cluster.kubeconfig_for(namespace, "nothing", [])
    with kubeconfig_is(nothing if status == 403 else cluster.kubeconfig):
        api = clusters.connect()
        with pytest.raises(RefusedError) as raised:
            api.execute(namespace, pod, container, ["true"])
    assert raised.value.status == status
    assert words in raised.value.message
    assert "Handshake" not in raised.value.message


def _with_token(account: Path, change: Callable[[str], str]) -> str:
    """Have a kubeconfig's token read from a file, changed; return the token."""
    said = yaml.safe_load(account.read_text())
    user = said["users"][0]["user"]
    token = str(user.pop("token"))
    user["tokenFile"] = str(account.with_suffix(".token"))
    account.with_suffix(".token").write_text(change(token))
    account.write_text(yaml.safe_dump(said))
    return token


def test_a_line_break_behind_a_token_is_not_sent(cluster: Cluster, namespace: str, pod: str) -> None:
    account = cluster.kubeconfig_for(namespace, "echoed", _rules(cluster, Scope(namespace)))
    _with_token(account, lambda token: f"{token}\n")
    with kubeconfig_is(account):
        uris, _ = select.find("", namespace, all_namespaces=False, auditing=Auditing())
    assert uris == [f"k8s-container://{namespace}/{pod}/app"]


def test_a_token_that_can_not_be_sent_or_is_not_known_is_told_and_not_shown(
    cluster: Cluster, namespace: str
) -> None:
    for number, (change, words) in enumerate(
        [
            (lambda token: f"{token[:20]}\n{token[20:]}", "hold what can't be sent"),
            (lambda token: f"{token}x", "does not accept the credentials of the current context"),
        ]
    ):
        account = cluster.kubeconfig_for(namespace, f"wrong-{number}", [])
        token = _with_token(account, change)
        with kubeconfig_is(account), pytest.raises(ScanError, match=words) as raised:
            clusters.connect()
        assert token[:20] not in str(raised.value)


def test_what_there_is_not_is_told_as_such(cluster: Cluster, namespace: str) -> None:
    with kubeconfig_is(cluster.kubeconfig):
        with pytest.raises(ScanError, match="there is no namespace nowhere-at-all"):
            select.find("", "nowhere-at-all", all_namespaces=False, auditing=Auditing())
        with pytest.raises(ScanError, match=f"no pod that 'a=b' selects in the namespace {namespace}"):
            select.find("a=b", namespace, all_namespaces=False, auditing=Auditing())
        with pytest.raises(CallError, match="'app in' is no label selector"):
            select.find("app in", namespace, all_namespaces=False, auditing=Auditing())
    with (
        kubeconfig_is(Path("/no/such/kubeconfig")),
        pytest.raises(ScanError, match="/no/such/kubeconfig is not"),
    ):
        clusters.connect()
