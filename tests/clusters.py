"""The cluster for tests (BARESCAN_KUBECONFIG), reached as its administrator or with fewer rights."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml
from kubernetes import client
from kubernetes.config import kube_config

from toolkit import clusters
from toolkit.clusters import Cluster, RefusedError


def reached() -> Cluster:
    """Return the cluster, whatever KUBECONFIG says."""
    with patch.object(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", os.environ["BARESCAN_KUBECONFIG"]):
        return clusters.connect()


@contextlib.contextmanager
def own_namespace(cluster: Cluster, labels: Mapping[str, str] | None = None) -> Iterator[str]:
    """Make a namespace, give its name, and delete it."""
    name = f"barescan-test-{secrets.token_hex(3)}"
    cluster.call(cluster.core.create_namespace, {"metadata": {"name": name, "labels": dict(labels or {})}})
    try:
        yield name
    finally:
        cluster.call(cluster.core.delete_namespace, name)


def exists(cluster: Cluster, namespace: str) -> bool:
    """Return whether there is such a namespace."""
    try:
        cluster.call(cluster.core.read_namespace, namespace)
    except RefusedError as refusal:
        if refusal.status == 404:
            return False
        raise
    return True


def as_user(path: Path, user: Mapping[str, str]) -> str:
    """Write a kubeconfig for the cluster with these credentials; return its path."""
    given = yaml.safe_load(Path(os.environ["BARESCAN_KUBECONFIG"]).read_text())
    for each in given["users"]:
        each["user"] = dict(user)
    path.write_text(yaml.safe_dump(given))
    return str(path)


def with_rights(cluster: Cluster, namespace: str, path: Path, rights: Mapping[str, Sequence[str]]) -> str:
    """Return the path of a kubeconfig of a service account with these rights in the namespace, no more."""
    about = {"metadata": {"name": "visitor"}}
    cluster.call(cluster.core.create_namespaced_service_account, namespace, about)
    rules = [{"apiGroups": [""], "resources": [each], "verbs": list(verbs)} for each, verbs in rights.items()]
    roles = client.RbacAuthorizationV1Api(cluster.core.api_client)
    cluster.call(roles.create_namespaced_role, namespace, {**about, "rules": rules})
    bound: dict[str, Any] = {
        **about,
        "subjects": [{"kind": "ServiceAccount", "name": "visitor", "namespace": namespace}],
        "roleRef": {"kind": "Role", "name": "visitor", "apiGroup": "rbac.authorization.k8s.io"},
    }
    cluster.call(roles.create_namespaced_role_binding, namespace, bound)
    token = cluster.call(
        cluster.core.create_namespaced_service_account_token, "visitor", namespace, {"spec": {}}
    ).status.token
    return as_user(path, {"token": token})
