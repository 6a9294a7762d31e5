"""Pods of every kind are scanned by the same call, with the results of elsewhere, and left as they were."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.containers import running
from tests.kubernetes.clusters import Cluster, eventually
from tests.kubernetes.scanning import AtFirstControl, Scanner, statuses
from toolkit.auditor import CAPABILITIES, SIDECAR, wait_arguments
from toolkit.dockers import connect
from toolkit.runtimes.kubernetes.rights import security_context

pytestmark = [pytest.mark.bundle]
_LEAST = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


@dataclass(frozen=True)
class Shape:
    """A kind of pod, and how the engine runs the same."""

    container: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    engine: dict[str, Any] = field(default_factory=dict)
    shell: bool = False


_AS_IT_IS = {"cap_drop": [], "read_only": False}
SHAPES = {
    "plain": Shape(engine=_AS_IT_IS),
    "restricted": Shape(
        {"securityContext": _LEAST},
        {"securityContext": {"runAsNonRoot": True}},
        {"user": "65532", "security_opt": ["no-new-privileges"]},
    ),
    "shared-pids": Shape(spec={"shareProcessNamespace": True}, engine=_AS_IT_IS),
    "shell": Shape(engine=_AS_IT_IS, shell=True),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_pod_has_the_results_of_its_image_and_is_left_as_it_was(
    shape: str, cluster: Cluster, namespace: str, scanner: Scanner, distroless: str, shell: str
) -> None:
    kind = SHAPES[shape]
    image = shell if kind.shell else distroless
    pod = cluster.pod(namespace, image, container=kind.container, spec=kind.spec)
    before = _container(cluster, namespace, pod)
    changes = _changes(before.container_id)
    result = scanner(f"{namespace}/{pod}/app")
    after = _container(cluster, namespace, pod)
    assert (after.container_id, after.restart_count) == (before.container_id, 0)
    assert _changes(after.container_id) == changes
    with running(image, **kind.engine) as twin:
        assert statuses(result) == statuses(scanner(f"docker://{twin.name}"))
    assert statuses(result) == statuses(scanner(f"image://{image}"))
    assert result.summary.total > 20
    _check_record(result.folder / "scan.json", pod, before)


def _check_record(path: Any, pod: str, status: Any) -> None:
    said = json.loads(path.read_text())["target"]
    assert said["pod"]["name"] == pod
    assert said["container"]["id"] == status.container_id.rpartition("://")[2]
    assert said["image_id"] == status.image_id
    assert said["auditor"]["kind"] == "ephemeral"


def _container(cluster: Cluster, namespace: str, pod: str) -> Any:
    found = cluster.api.read_namespaced_pod(pod, namespace).status.container_statuses
    return next(each for each in found if each.name == "app")


def _changes(container_id: str) -> Any:
    """Return what differs from the image, where the engine of this host runs the container."""
    kind, _, identity = container_id.partition("://")
    return connect().api.diff(identity) if kind == "docker" else None


def test_the_auditor_has_the_least_rights_while_it_is_at_work_and_ends_with_the_scan(
    cluster: Cluster, namespace: str, scanner: Scanner, distroless: str
) -> None:
    pod = cluster.pod(namespace, distroless)
    seen: list[Any] = []
    scanner(
        f"{namespace}/{pod}/app", AtFirstControl(lambda: seen.append(_ephemeral(cluster, namespace, pod)))
    )
    ((spec, _),) = seen
    context = spec.security_context
    assert spec.target_container_name == "app"
    assert sorted(context.capabilities.add) == sorted(CAPABILITIES)
    assert context.capabilities.drop == ["ALL"]
    assert context.privileged is None
    assert context.allow_privilege_escalation is False
    assert context.read_only_root_filesystem is True
    assert context.seccomp_profile.type == "RuntimeDefault"
    assert spec.volume_mounts is None
    assert spec.env is None
    ended = eventually(lambda: _ephemeral(cluster, namespace, pod)[1].state.terminated, 20)
    assert ended.exit_code == 0


def _ephemeral(cluster: Cluster, namespace: str, pod: str) -> tuple[Any, Any]:
    """Return spec and status of the one ephemeral container."""
    found = cluster.api.read_namespaced_pod(pod, namespace)
    (spec,) = found.spec.ephemeral_containers
    return spec, next(iter(found.status.ephemeral_container_statuses or []), None)


def test_an_auditor_that_waits_is_used_again_and_the_target_is_left_as_it_is(
    cluster: Cluster, namespace: str, scanner: Scanner, distroless: str
) -> None:
    pod = cluster.pod(namespace, distroless)
    first = scanner(f"{namespace}/{pod}/app", keep=60.0)
    spec, _ = _ephemeral(cluster, namespace, pod)
    mounted = [
        word for name in ("resolv.conf", "hosts", "hostname") for word in ("-name", name, "-prune", "-o")
    ]
    listing = ["find", "/proc/1/root/", "-xdev", *mounted, "-printf", "%p %m %s %T@ %C@\n"]
    before = scanner.output(namespace, pod, spec.name, *listing)
    second = scanner(f"{namespace}/{pod}/app")
    assert statuses(second) == statuses(first)
    assert _ephemeral(cluster, namespace, pod)[0].name == spec.name
    assert "/etc/passwd " in before
    third = scanner(f"{namespace}/{pod}/app", keep=60.0)
    names = [each.name for each in cluster.api.read_namespaced_pod(pod, namespace).spec.ephemeral_containers]
    assert len(names) == 2, "the first has ended after a scan that did not ask it to wait"
    new = next(name for name in names if name != spec.name)
    assert scanner.output(namespace, pod, new, *listing) == before
    assert statuses(third) == statuses(first)


def test_each_container_of_a_pod_is_itself(
    cluster: Cluster, namespace: str, scanner: Scanner, distroless: str, shell: str
) -> None:
    containers = [
        {"name": "bare", "image": distroless, "imagePullPolicy": "Never"},
        {"name": "full", "image": shell, "imagePullPolicy": "Never", "command": ["sleep", "3600"]},
    ]
    helper = {
        "name": "helper",
        "image": shell,
        "imagePullPolicy": "Never",
        "command": ["sleep", "3600"],
        "restartPolicy": "Always",
    }
    manifest = {
        "metadata": {"name": "several"},
        "spec": {
            "shareProcessNamespace": True,
            "containers": containers,
            "initContainers": [helper],
            "terminationGracePeriodSeconds": 1,
        },
    }
    pod = cluster.pod(namespace, manifest=manifest)
    facts = {name: scanner(f"{namespace}/{pod}/{name}").facts for name in ("bare", "full", "helper")}
    assert facts["bare"]["distroless"] is True
    assert facts["full"]["distroless"] is False
    assert facts["helper"]["distroless"] is False
    assert len({each["target"]["container_id"] for each in facts.values()}) == 3


def test_a_sidecar_is_found_and_nothing_is_added(
    cluster: Cluster, namespace: str, scanner: Scanner, distroless: str
) -> None:
    context = cluster.client.sanitize_for_serialization(security_context())
    sidecar = {
        "name": SIDECAR,
        "image": scanner.image,
        "imagePullPolicy": "Never",
        "args": wait_arguments(None),
        "securityContext": context,
    }
    target = {"name": "app", "image": distroless, "imagePullPolicy": "Never"}
    spec = {
        "containers": [target, sidecar],
        "shareProcessNamespace": True,
        "terminationGracePeriodSeconds": 1,
    }
    pod = cluster.pod(namespace, manifest={"metadata": {"name": "beside"}, "spec": spec})
    rules = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get", "create"]},
    ]
    least = cluster.kubeconfig_for(namespace, "only-exec", rules)
    for _ in range(2):
        result = scanner(f"{namespace}/{pod}/app", kubeconfig=least)
        assert result.summary.total > 20
    found = cluster.api.read_namespaced_pod(pod, namespace)
    assert not found.spec.ephemeral_containers
    assert [each.restart_count for each in found.status.container_statuses] == [0, 0]
