"""A real API server takes every document, and does what the manifests count on."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from kubernetes import client, config, utils

from tests.manifests.conftest import JOB, Printed, documents
from tests.manifests.test_fields import CALLS
from tests.manifests.test_sidecar import DEPLOYMENT
from toolkit.manifests.documents import plain
from toolkit.manifests.rbac import Scope, objects

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def api() -> client.ApiClient:
    made: client.ApiClient = config.new_client_from_config(os.environ["BARESCAN_KUBECONFIG"])
    return made


@pytest.fixture(scope="module")
def namespace(api: client.ApiClient) -> Iterator[str]:
    """A namespace where only restricted pods may be."""
    name = f"barescan-test-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    core = client.CoreV1Api(api)
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=name, labels=labels)))
    end = time.monotonic() + 10
    while not core.list_namespaced_service_account(name).items:  # comes a moment later; no pod without it
        assert time.monotonic() < end
        time.sleep(0.1)
    yield name
    core.delete_namespace(name)


def _tried(api: client.ApiClient, document: dict[str, Any]) -> Any:
    (made,) = utils.create_from_dict(api, document, dry_run="All", field_validation="Strict")
    return made


@pytest.mark.parametrize("call", [call for call in CALLS if call[0] != "manifests.sidecar"], ids=" ".join)
def test_the_server_takes_every_document(
    api: client.ApiClient, namespace: str, printed: Printed, call: tuple[str, ...]
) -> None:
    text = printed(*(namespace if part == "shop" else part for part in call))
    for document in yaml.safe_load_all(text):
        _tried(api, document)


@pytest.mark.parametrize("schedule", ["*/15 0-6,22 1 jan-mar MON", "5/10 * ? * 0", "@daily"])
def test_the_server_takes_these_schedules(
    api: client.ApiClient, namespace: str, printed: Printed, schedule: str
) -> None:
    call = ["manifests.cronjob", "--schedule", schedule, "--namespace", namespace, *JOB[3:]]
    _tried(api, documents(printed(*call))["CronJob"])


def test_a_long_name_is_not_too_long(api: client.ApiClient, namespace: str, printed: Printed) -> None:
    call = ["manifests.job", "--namespace", namespace, *JOB[3:], "--workers", "11", "--name"]
    _tried(api, documents(printed(*call, "a" * 60))["Job"])
    document = documents(printed(*call, "a" * 60))["Job"]
    document["metadata"]["name"] = "a" * 61
    with pytest.raises(utils.FailToCreateError):
        _tried(api, document)


def test_workers_may_be_where_pods_are_restricted(
    api: client.ApiClient, namespace: str, printed: Printed
) -> None:
    call = ["manifests.job", "--namespace", namespace, *JOB[3:], "--config-map", "gate"]
    template = documents(printed(*call))["Job"]["spec"]["template"]
    del template["spec"]["serviceAccountName"]  # is not there, for nothing was applied
    pod = {"apiVersion": "v1", "kind": "Pod", **template}
    pod["metadata"] = {"name": "worker", "namespace": namespace}
    _tried(api, pod)
    pod["spec"]["securityContext"]["runAsNonRoot"] = False
    with pytest.raises(utils.FailToCreateError, match="violates PodSecurity"):
        _tried(api, pod)


@pytest.mark.parametrize("flags", [(), ("--privileged",), ("--app-armor-unconfined",)], ids=" ".join)
def test_the_server_merges_the_sidecar(
    api: client.ApiClient, namespace: str, printed: Printed, flags: tuple[str, ...]
) -> None:
    apps = client.AppsV1Api(api)
    deployment = DEPLOYMENT | {"metadata": {"name": "web", "namespace": namespace}}
    deployment["spec"] = DEPLOYMENT["spec"] | {"replicas": 0}  # type: ignore[operator]
    utils.create_from_dict(api, deployment)
    try:
        patch = documents(printed("manifests.sidecar", "--name", "web", *flags))["Deployment"]
        done = apps.patch_namespaced_deployment(
            "web",
            namespace,
            patch,
            dry_run="All",
            field_validation="Strict",
            _content_type="application/strategic-merge-patch+json",
        )
    finally:
        apps.delete_namespaced_deployment("web", namespace)
    pod: Any = done.spec.template.spec
    assert pod.share_process_namespace is True
    assert {each.name for each in pod.containers} == {"app", "proxy", "barescan-auditor"}
    assert next(each for each in pod.containers if each.name == "app").args == ["serve"]


def test_the_rights_are_what_the_server_grants(api: client.ApiClient, namespace: str) -> None:
    for each in objects(Scope(namespace=namespace)):
        utils.create_from_dict(api, plain(each))
    asked = {
        ("get", "pods", ""): True,
        ("list", "pods", ""): True,
        ("patch", "pods", "ephemeralcontainers"): True,
        ("get", "pods", "exec"): True,
        ("create", "pods", "exec"): True,
        ("list", "events", ""): False,
        ("get", "secrets", ""): False,
        ("create", "pods", ""): False,
        ("delete", "pods", ""): False,
        ("get", "pods", "log"): False,
        ("update", "pods", "ephemeralcontainers"): False,
    }
    review = client.AuthorizationV1Api(api)
    granted = {}
    for verb, resource, part in asked:
        attributes = client.V1ResourceAttributes(
            namespace=namespace, verb=verb, resource=resource, subresource=part or None
        )
        spec = client.V1SubjectAccessReviewSpec(
            user=f"system:serviceaccount:{namespace}:barescan", resource_attributes=attributes
        )
        body = client.V1SubjectAccessReview(spec=spec)
        status: Any = review.create_subject_access_review(body).status
        granted[verb, resource, part] = status.allowed
    assert granted == asked
