"""A pod whose author, target or neighbour wants a scan to speak well of something else."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.kubernetes import calls
from tests.kubernetes.clusters import Cluster, eventually
from tests.kubernetes.scanning import AtFirstControl, Scanner
from toolkit.auditor import SIDECAR, wait_arguments
from toolkit.runtimes.kubernetes.rights import security_context

pytestmark = [pytest.mark.bundle]
_SLEEP = ["sleep", "3600"]


def _container(name: str, image: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": image, "imagePullPolicy": "Never"} | more


def _pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    spec = {"terminationGracePeriodSeconds": 1, "shareProcessNamespace": True, **spec}
    return {"metadata": {"name": "target"}, "spec": {"containers": list(containers), **spec}}


def _is_the_target(scanner: Scanner, cluster: Cluster, namespace: str) -> bool:
    """Say whether a scan of `app` spoke of the full system that it is, and not of the bare decoy."""
    facts = scanner(f"{namespace}/target/app").facts
    found = cluster.api.read_namespaced_pod("target", namespace).status.container_statuses
    wanted = next(each.container_id for each in found if each.name == "app").rpartition("://")[2]
    return facts["distroless"] is False and facts["target"]["container_id"] == wanted


def test_a_neighbour_whose_termination_message_is_called_as_the_targets_is_not_taken_for_it(
    cluster: Cluster, namespace: str, scanner: Scanner, distroless: str, shell: str
) -> None:
    """The mount that a volume makes without any privilege must not do to be audited in its place."""
    decoy = _container(
        "decoy",
        distroless,
        env=[{"name": "UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}],
        terminationMessagePath="/tmp/other",
        volumeMounts=[
            {
                "name": "v",
                "mountPath": "/dev/termination-log",
                "subPathExpr": "pods/$(UID)/containers/app/x",
            }
        ],
    )
    if cluster.double:
        decoy = _container("decoy", distroless)  # the double has no such volumes; its first process is older
    pod = _pod(decoy, _container("app", shell, command=_SLEEP), volumes=[{"name": "v", "emptyDir": {}}])
    cluster.pod(namespace, manifest=pod)
    assert _is_the_target(scanner, cluster, namespace)


def test_a_neighbour_in_a_cgroup_called_as_the_target_is_not_taken_for_it(
    cluster: Cluster, namespace: str, scanner: Scanner, shell: str
) -> None:
    """As root of a user namespace of its own it can make a cgroup of any name, but none beside ours."""
    cluster.pod(
        namespace,
        manifest=_pod(_container("decoy", shell, command=_SLEEP), _container("app", shell, command=_SLEEP)),
    )
    found = cluster.api.read_namespaced_pod("target", namespace).status.container_statuses
    identity = next(each.container_id for each in found if each.name == "app").rpartition("://")[2]
    forge = (
        "exec unshare --user --map-root-user --mount --cgroup sh -c "
        f"'mkdir /tmp/c && mount -t cgroup2 none /tmp/c && mkdir -p /tmp/c/{identity} && "
        f"echo $$ >/tmp/c/{identity}/cgroup.procs && cat /proc/self/cgroup'"
    )
    done = calls.run(cluster, namespace, "sh", "-c", forge, container="decoy")
    if identity.encode() not in done.stdout:
        pytest.skip(f"this node lets no container forge its cgroup: {done.stderr.decode()[-200:]}")
    assert _is_the_target(scanner, cluster, namespace)


@pytest.mark.parametrize("rights", [{"capabilities": {"add": ["SYS_PTRACE"]}}, {"privileged": True}])
@pytest.mark.parametrize("where", ["target", "neighbour"])
def test_who_could_take_the_auditor_over_is_refused_before_one_is_there(
    cluster: Cluster, namespace: str, scanner: Scanner, shell: str, rights: dict[str, Any], where: str
) -> None:
    if "privileged" in rights and cluster.double:
        pytest.skip("the double runs nothing privileged")
    mighty = {"securityContext": rights}
    app = _container("app", shell, command=_SLEEP) | (mighty if where == "target" else {})
    other = _container("other", shell, command=_SLEEP) | (mighty if where == "neighbour" else {})
    shared = where == "neighbour"
    manifest = _pod(app, other, shareProcessNamespace=shared)
    pod = cluster.pod(namespace, manifest=manifest, wait="privileged" not in rights)
    eventually(lambda: cluster.api.read_namespaced_pod(pod, namespace).status.container_statuses)
    error = scanner.refused(f"{namespace}/target/app")
    assert "may gain the capability SYS_PTRACE" in error.cause or "does not run" in error.cause
    assert not cluster.api.read_namespaced_pod("target", namespace).spec.ephemeral_containers


def _alone(container: dict[str, Any]) -> dict[str, Any]:
    return _pod(container, shareProcessNamespace=False)


def _sidecar(cluster: Cluster, image: str, **more: Any) -> dict[str, Any]:
    context = cluster.client.sanitize_for_serialization(security_context())
    return _container(SIDECAR, image, args=wait_arguments(None), securityContext=context, **more)


def test_what_is_only_called_as_an_auditor_is_not_believed(
    cluster: Cluster, namespace: str, scanner: Scanner, shell: str
) -> None:
    false = {
        "image": _container(SIDECAR, shell, command=_SLEEP),
        "environment": _sidecar(cluster, scanner.image, env=[{"name": "LD_PRELOAD", "value": "/x"}]),
        "volume": _sidecar(
            cluster, scanner.image, volumeMounts=[{"name": "v", "mountPath": "/barescan/agent"}]
        ),
    }
    for kind, sidecar in false.items():
        manifest = copy.deepcopy(_pod(_container("app", shell, command=_SLEEP), sidecar))
        manifest["spec"]["volumes"] = [{"name": "v", "emptyDir": {}}]
        manifest["metadata"]["name"] = kind
        cluster.pod(namespace, manifest=manifest, wait=kind != "volume")
        if kind != "volume":
            error = scanner.refused(f"{namespace}/{kind}/app")
            assert (
                f"the container {SIDECAR} of the pod {kind} is not what barescan would start" in error.cause
            )


def test_a_workload_that_is_called_as_an_auditor_is_scanned_as_any_other(
    cluster: Cluster, namespace: str, scanner: Scanner, shell: str
) -> None:
    cluster.pod(namespace, manifest=_alone(_container(SIDECAR, shell, command=_SLEEP)))
    assert scanner.expanded(namespace) == [f"k8s-container://{namespace}/target/{SIDECAR}"]
    assert scanner(f"{namespace}/target/{SIDECAR}").facts["distroless"] is False


def test_a_main_process_that_has_left_its_pods_user_namespace_is_refused(
    cluster: Cluster, namespace: str, scanner: Scanner, shell: str
) -> None:
    """In one of its own it could make any directory the root that is audited."""
    leave = ["unshare", "--user", "--map-root-user", "--mount", "sleep", "3600"]
    cluster.pod(
        namespace,
        manifest=_alone(_container("app", shell, command=leave)),
        wait=False,
    )
    if not cluster.starts(namespace, "target"):
        pytest.skip("this node lets no container make a user namespace")
    error = scanner.refused(f"{namespace}/target/app")
    assert "has left its pod's user namespace" in error.cause


def test_one_scan_is_at_work_beside_a_target_at_a_time(
    cluster: Cluster, namespace: str, scanner: Scanner, shell: str
) -> None:
    cluster.pod(namespace, manifest=_alone(_container("app", shell, command=_SLEEP)))
    errors: list[Any] = []
    result = scanner(
        f"{namespace}/target/app",
        AtFirstControl(lambda: errors.append(scanner.refused(f"{namespace}/target/app"))),
    )
    assert result.summary.total > 20
    assert "another scan is at work" in errors[0].cause
    assert errors[0].transient
