"""The rights are the least that a scan needs, each in an entry of its own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.manifests.conftest import Printed, documents, model

GET = ("pods", "get")
LIST = ("pods", "list")
ATTACH = ("pods/ephemeralcontainers", "patch")
EXEC = ("pods/exec", "get", "create")
EVENTS = ("events", "list")


def _rules(role: dict[str, Any]) -> list[tuple[str, ...]]:
    for rule in role["rules"]:
        assert rule["apiGroups"] == [""]
        assert len(rule["resources"]) == 1
    return [(rule["resources"][0], *rule["verbs"]) for rule in role["rules"]]


@pytest.mark.parametrize(
    ("flags", "kind", "expected"),
    [
        (["--namespace", "shop"], "Role", [GET, LIST, ATTACH, EXEC]),
        (["--namespace", "shop", "--selector", "app=web"], "Role", [GET, LIST, ATTACH, EXEC]),
        (["--namespace", "shop", "--pod", "a"], "Role", [GET, ATTACH, EXEC]),
        (["--namespace", "shop", "--pod", "a", "--with-events"], "Role", [GET, ATTACH, EXEC, EVENTS]),
        (["--namespace", "shop", "--with-events"], "Role", [GET, LIST, ATTACH, EXEC, EVENTS]),
        (["--all-namespaces", "--namespace", "audit"], "ClusterRole", [GET, LIST, ATTACH, EXEC]),
    ],
)
def test_the_rules_are_these_and_no_more(
    printed: Printed, flags: list[str], kind: str, expected: list[tuple[str, ...]]
) -> None:
    assert _rules(documents(printed("manifests.rbac", *flags))[kind]) == expected


def test_named_pods_are_all_that_may_be_touched(printed: Printed) -> None:
    flags = ["--pod", "b", "--pod", "a.example", "--pod", "b", "--with-events"]
    role = documents(printed("manifests.rbac", "--namespace", "shop", *flags))["Role"]
    names = {rule["resources"][0]: rule.get("resourceNames") for rule in role["rules"]}
    assert names.pop("events") is None
    assert set(map(tuple, names.values())) == {("a.example", "b")}


def test_no_rule_has_names_when_no_pod_is_named(printed: Printed) -> None:
    role = documents(printed("manifests.rbac", "--namespace", "shop"))["Role"]
    assert not any("resourceNames" in rule for rule in role["rules"])


def test_the_account_is_bound_to_the_role(printed: Printed) -> None:
    flags = ["--namespace", "shop", "--service-account", "scanner", "--account-namespace", "audit"]
    found = documents(printed("manifests.rbac", *flags))
    account = model(found["ServiceAccount"], "V1ServiceAccount")
    role = model(found["Role"], "V1Role")
    binding = model(found["RoleBinding"], "V1RoleBinding")
    assert (account.metadata.namespace, role.metadata.namespace) == ("audit", "shop")
    assert binding.metadata.namespace == "shop"
    assert (binding.role_ref.kind, binding.role_ref.name) == ("Role", role.metadata.name)
    (subject,) = binding.subjects
    assert (subject.kind, subject.name, subject.namespace) == ("ServiceAccount", "scanner", "audit")


def test_no_pod_gets_the_token_that_does_not_ask_for_it(printed: Printed) -> None:
    account = documents(printed("manifests.rbac", "--namespace", "shop"))["ServiceAccount"]
    assert account["automountServiceAccountToken"] is False


def test_every_namespace_takes_a_cluster_role(printed: Printed) -> None:
    found = documents(printed("manifests.rbac", "--namespace", "audit", "--all-namespaces"))
    assert sorted(found) == ["ClusterRole", "ClusterRoleBinding", "ServiceAccount"]
    assert "namespace" not in found["ClusterRole"]["metadata"]
    assert found["ClusterRoleBinding"]["roleRef"]["kind"] == "ClusterRole"
    assert found["ServiceAccount"]["metadata"]["namespace"] == "audit"
    model(found["ClusterRole"], "V1ClusterRole")
    model(found["ClusterRoleBinding"], "V1ClusterRoleBinding")


def test_the_comments_tell_how_to_use_it(printed: Printed) -> None:
    text = printed("manifests.rbac", "--namespace", "shop", "--selector", "app in (a,b)")
    text = text.replace(" \\\n#      ", "")
    assert "kubectl create token barescan --namespace shop --duration 10m >barescan.token" in text
    assert "barescan scan --namespace shop --selector 'app in (a,b)' --profile PROFILE" in text
    text = printed("manifests.rbac", "--namespace", "shop", "--pod", "web-0")
    text = text.replace(" \\\n#      ", "")
    assert "scan --target k8s-container://shop/web-0 --profile PROFILE" in text
