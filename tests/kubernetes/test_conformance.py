"""What a cluster answers, word for word, and what becomes of pods; asked of the double and of a real one."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest
from kubernetes.client import ApiClient, AuthorizationV1Api, Configuration, VersionApi
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError
from websocket import WebSocketException

from tests.kubernetes.calls import (
    SLEEP,
    VISITOR,
    attach,
    ephemeral,
    refused,
    run,
    running,
    start,
    terminated,
)
from tests.kubernetes.clusters import Cluster, eventually

ENFORCE = "pod-security.kubernetes.io/enforce"
STRICT = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


@pytest.fixture
def target(cluster: Cluster, namespace: str, shell: str) -> str:
    """The namespace of a pod `target` whose container `app` sleeps."""
    cluster.pod(namespace, shell, container={"command": SLEEP})
    return namespace


def _events(cluster: Cluster, namespace: str, name: str, pod: str = "target") -> dict[str, str]:
    uid = cluster.api.read_namespaced_pod(pod, namespace).metadata.uid
    selector = f"involvedObject.name={pod},involvedObject.uid={uid}"
    found = cluster.api.list_namespaced_event(namespace, field_selector=selector).items
    path = f"spec.ephemeralContainers{{{name}}}"
    return {each.message: each.reason for each in found if each.involved_object.field_path == path}


# --- what is refused


@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_pod_security_refuses_capabilities(level, cluster, shell):
    namespace = cluster.namespace({ENFORCE: level})
    cluster.pod(namespace, shell, container={"command": SLEEP, "securityContext": STRICT})
    visitor = {"name": "x", "image": shell, "securityContext": VISITOR}
    status = refused(403, lambda: attach(cluster, namespace, visitor))
    add = 'must not include "SYS_ADMIN", "SYS_PTRACE" in securityContext.capabilities.add'
    said = {
        "baseline": f'non-default capabilities (container "x" {add})',
        "restricted": f'unrestricted capabilities (container "x" {add}), '
        'runAsNonRoot != true (container "x" must not set securityContext.runAsNonRoot=false), '
        'runAsUser=0 (container "x" must not set runAsUser=0), '
        'seccompProfile (pod or container "x" must set securityContext.seccompProfile.type to '
        '"RuntimeDefault" or "Localhost")',
    }
    assert status["message"] == (
        f'pods "target" is forbidden: violates PodSecurity "{level}:latest": {said[level]}'
    )
    assert status["reason"] == "Forbidden"
    assert status["details"] == {"name": "target", "kind": "pods"}


def test_pod_security_looks_at_new_pods(cluster, shell):
    namespace = cluster.namespace({ENFORCE: "restricted"})
    spec = {
        "hostNetwork": True,
        "containers": [{"name": "a", "image": shell}, {"name": "b", "image": shell}],
        "volumes": [{"name": "v", "hostPath": {"path": "/"}}],
    }
    pod = {"metadata": {"name": "p"}, "spec": spec}
    status = refused(403, lambda: cluster.api.create_namespaced_pod(namespace, pod))
    assert status["message"] == (
        'pods "p" is forbidden: violates PodSecurity "restricted:latest": '
        "host namespaces (hostNetwork=true), "
        'allowPrivilegeEscalation != false (containers "a", "b" must set '
        "securityContext.allowPrivilegeEscalation=false), "
        'unrestricted capabilities (containers "a", "b" must set securityContext.capabilities.drop=["ALL"]), '
        'restricted volume types (volume "v" uses restricted volume type "hostPath"), '
        'runAsNonRoot != true (pod or containers "a", "b" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or containers "a", "b" must set securityContext.seccompProfile.type to '
        '"RuntimeDefault" or "Localhost")'
    )


def test_only_what_a_role_allows_is_done(cluster, target, shell):
    who = f"system:serviceaccount:{target}"
    update = [{"apiGroups": [""], "resources": ["pods/ephemeralcontainers"], "verbs": ["get", "update"]}]
    other = Cluster(cluster.kubeconfig_for(target, "updates", update))
    status = refused(403, lambda: attach(other, target, {"name": "x", "image": shell}))
    assert status["message"] == (
        f'pods "target" is forbidden: User "{who}:updates" cannot patch resource "pods/ephemeralcontainers" '
        f'in API group "" in the namespace "{target}"'
    )
    assert status["reason"] == "Forbidden"
    assert status["details"] == {"name": "target", "kind": "pods"}
    status = refused(403, lambda: other.api.list_namespaced_pod(target))
    assert status["message"] == (
        f'pods is forbidden: User "{who}:updates" cannot list resource "pods" in API group "" '
        f'in the namespace "{target}"'
    )
    status = refused(403, other.api.list_pod_for_all_namespaces)
    assert status["message"].endswith('cannot list resource "pods" in API group "" at the cluster scope')
    status = refused(403, lambda: other.api.list_namespaced_event(target))
    assert status["message"].startswith("events is forbidden: User")
    with pytest.raises(ApiException) as caught:
        start(other, target, "true")
    assert caught.value.status == 0
    assert "Handshake status 403" in caught.value.reason
    assert (
        f'User \\"{who}:updates\\" cannot get resource \\"pods/exec\\" in API group \\"\\" '
        f'in the namespace \\"{target}\\"' in caught.value.reason
    )


def test_a_scan_needs_but_a_few_rights(cluster, target, shell):
    scanner = Cluster(cluster.kubeconfig_for(target))
    assert [each.metadata.name for each in scanner.api.list_namespaced_pod(target).items] == ["target"]
    attach(scanner, target, {"name": "x", "image": shell})
    running(scanner, target, "x")
    assert run(scanner, target, "echo", "hello", container="x").stdout == b"hello\n"
    reviews: Any = AuthorizationV1Api(scanner.client)
    for resource, expected in (("ephemeralcontainers", True), ("log", False)):
        asked = {"namespace": target, "verb": "patch", "resource": "pods", "subresource": resource}
        answer = reviews.create_self_subject_access_review({"spec": {"resourceAttributes": asked}})
        assert answer.status.allowed is expected


def test_rights_can_be_for_one_pod(cluster, target, shell):
    cluster.pod(target, shell, name="other", container={"command": SLEEP}, wait=False)
    rules = [{"apiGroups": [""], "resources": ["pods"], "resourceNames": ["target"], "verbs": ["get"]}]
    limited = Cluster(cluster.kubeconfig_for(target, "limited", rules))
    assert limited.api.read_namespaced_pod("target", target).metadata.name == "target"
    status = refused(403, lambda: limited.api.read_namespaced_pod("other", target))
    assert status["message"].startswith('pods "other" is forbidden: User')


def test_a_token_that_is_not_valid_is_refused(cluster, namespace):
    made = cluster.client.configuration
    stranger = Configuration(host=made.host)
    stranger.ssl_ca_cert = made.ssl_ca_cert
    stranger.api_key = {"authorization": "Bearer nonsense"}
    other = Cluster(cluster.kubeconfig)
    other.__dict__["client"] = ApiClient(stranger)
    status = refused(401, lambda: other.api.read_namespaced_pod("target", namespace))
    assert (status["message"], status["reason"]) == ("Unauthorized", "Unauthorized")


def test_a_container_or_pod_that_is_not_there(cluster, target, shell):
    nope = {"name": "x", "image": shell, "targetContainerName": "nope"}
    status = refused(422, lambda: attach(cluster, target, nope))
    field = "spec.ephemeralContainers[0].targetContainerName"
    assert status["message"] == f'Pod "target" is invalid: {field}: Not found: "nope"'
    assert status["reason"] == "Invalid"
    assert status["details"] == {
        "name": "target",
        "kind": "Pod",
        "causes": [{"reason": "FieldValueNotFound", "message": 'Not found: "nope"', "field": field}],
    }
    visitor = {"name": "x", "image": shell}
    status = refused(404, lambda: attach(cluster, target, visitor, pod="none"))
    assert (status["message"], status["reason"]) == ('pods "none" not found', "NotFound")
    assert status["details"] == {"name": "none", "kind": "pods"}
    status = refused(404, lambda: cluster.api.create_namespaced_pod("none", {"metadata": {"name": "p"}}))
    assert status["message"] == 'namespaces "none" not found'


def test_an_ephemeral_container_is_never_changed(cluster, target, shell):
    visitor = {"name": "x", "image": shell, "targetContainerName": "app"}
    pod = attach(cluster, target, visitor)
    assert pod.metadata.generation == 2
    assert attach(cluster, target, visitor).metadata.generation == 2
    changed = visitor | {"command": ["sh", "-c", "sleep 2000"]}
    status = refused(422, lambda: attach(cluster, target, changed))
    said = (
        'Pod "target" is invalid: spec.ephemeralContainers: Forbidden: existing ephemeral containers "x" may'
    )
    assert status["message"].startswith(f"{said} not be changed\n")
    assert '+  "sleep 2000"' in status["message"]
    assert status["details"]["causes"][0]["reason"] == "FieldValueForbidden"
    gone = {"spec": {"ephemeralContainers": [{"$patch": "delete", "name": "x"}]}}
    patch = cluster.api.patch_namespaced_pod_ephemeralcontainers
    status = refused(422, lambda: patch("target", target, gone))
    assert status["message"] == f"{said} not be removed\n"
    # a merge patch puts its list in the place of what was there
    merge = "application/merge-patch+json"
    other = visitor | {"name": "y"}
    status = refused(422, lambda: attach(cluster, target, other, _content_type=merge))
    assert status["message"] == f"{said} not be removed\n"
    again = attach(cluster, target, other)
    assert [each.name for each in again.spec.ephemeral_containers] == ["y", "x"]
    assert again.metadata.generation == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "app"}, 'name: Duplicate value: "app"'),
        ({"image": ""}, "image: Required value"),
        ({"ports": [{"containerPort": 80}]}, "ports: Forbidden: cannot be set for an Ephemeral Container"),
        (
            {"resources": {"limits": {"memory": "1Gi"}}},
            "resources: Forbidden: cannot be set for an Ephemeral Container",
        ),
        ({"name": "Bad_"}, 'name: Invalid value: "Bad_": a lowercase RFC 1123 label must consist of'),
    ],
)
def test_what_an_ephemeral_container_can_not_be(fields, message, cluster, target, shell):
    status = refused(422, lambda: attach(cluster, target, {"name": "x", "image": shell} | fields))
    assert status["message"].startswith(f'Pod "target" is invalid: spec.ephemeralContainers[0].{message}')


def test_a_dry_run_checks_and_adds_nothing(cluster, target, shell):
    visitor = {"name": "x", "image": shell}
    pod = attach(cluster, target, visitor, dry_run="All")
    assert [each.name for each in pod.spec.ephemeral_containers] == ["x"]
    assert pod.metadata.generation == 2
    kept = cluster.api.read_namespaced_pod("target", target)
    assert not kept.spec.ephemeral_containers
    assert kept.metadata.generation == 1
    refused(422, lambda: attach(cluster, target, visitor | {"name": "app"}, dry_run="All"))


def test_a_static_pod_takes_none(cluster, namespace, shell):
    mirror = {"kubernetes.io/config.mirror": "0"}
    cluster.pod(namespace, shell, annotations=mirror, spec={"nodeName": "nowhere"}, wait=False)
    status = refused(422, lambda: attach(cluster, namespace, {"name": "x", "image": shell}))
    assert status["message"] == (
        'Pod "target" is invalid: []: Forbidden: static pods do not support ephemeral containers'
    )


# --- what becomes of ephemeral containers


@pytest.mark.slow
def test_why_a_container_does_not_start(cluster, target, shell):
    images = {
        "never": ("nope:1", "Never"),
        "missing": ("nope:1", "IfNotPresent"),
        "misspelt": ("Nope::x", "IfNotPresent"),
        "nothing": (shell, "Never"),
    }
    attach(
        cluster,
        target,
        *(
            {"name": name, "image": image, "imagePullPolicy": policy, "command": ["/nope"]}
            for name, (image, policy) in images.items()
        ),
    )
    never = 'Container image "nope:1" is not present with pull policy of Never'
    pulled = 'failed to pull and unpack image "docker.io/library/nope:1": failed to resolve reference '
    parsed = (
        'Failed to apply default image tag "Nope::x": couldn\'t parse image name "Nope::x": '
        "invalid reference format: repository name (library/Nope) must be lowercase"
    )
    started = (
        "failed to create containerd task: failed to create shim task: OCI runtime create failed: "
        'runc create failed: unable to start container process: exec: "/nope": stat /nope: '
        "no such file or directory"
    )
    expected = {
        "never": ("ErrImageNeverPull", never),
        "missing": ("ErrImagePull", pulled),
        "misspelt": ("InvalidImageName", parsed),
        "nothing": ("RunContainerError", started),
    }
    # the event comes at once, long before the status
    eventually(lambda: _events(cluster, target, "never").get(never) == "ErrImageNeverPull", 5)
    for name, (reason, message) in expected.items():
        status = eventually(partial(_waiting, cluster, target, name))
        assert (status.state.waiting.reason, status.state.waiting.message[: len(message)]) == (
            reason,
            message,
        )
        failed = [text for text, kind in _events(cluster, target, name).items() if kind == "Failed"]
        assert f"Error: {reason if name != 'nothing' else status.state.waiting.message}" in failed
    ended = ephemeral(cluster, target, "nothing").last_state.terminated
    assert (ended.reason, ended.exit_code) == ("StartError", 128)


def _waiting(cluster: Cluster, namespace: str, name: str) -> Any | None:
    """Return the status of an ephemeral container once it says why it waits."""
    found = ephemeral(cluster, namespace, name)
    usual = (None, "ContainerCreating", "PodInitializing")
    return found if found and found.state.waiting and found.state.waiting.reason not in usual else None


def test_a_start_error_is_an_end_where_nothing_is_restarted(cluster, namespace, shell):
    cluster.pod(namespace, shell, container={"command": SLEEP}, spec={"restartPolicy": "Never"})
    attach(cluster, namespace, {"name": "x", "image": shell, "command": ["/nope"]})
    ended = terminated(cluster, namespace, "x")
    assert (ended.reason, ended.exit_code) == ("StartError", 128)


def test_a_pod_that_must_not_run_as_root_passes_that_on(cluster, namespace, shell):
    cluster.pod(
        namespace,
        shell,
        container={"command": SLEEP, "securityContext": {"runAsUser": 1000}},
        spec={"securityContext": {"runAsNonRoot": True}},
    )
    attach(cluster, namespace, {"name": "x", "image": shell})
    status = eventually(lambda: _waiting(cluster, namespace, "x"))
    uid = cluster.api.read_namespaced_pod("target", namespace).metadata.uid
    assert status.state.waiting.reason == "CreateContainerConfigError"
    assert status.state.waiting.message == (
        "container has runAsNonRoot and image will run as root "
        f'(pod: "target_{namespace}({uid})", container: x)'
    )


def test_the_user_of_the_pod_is_inherited(cluster, namespace, shell):
    spec = {"securityContext": {"runAsUser": 1000}}
    cluster.pod(namespace, shell, container={"command": SLEEP}, spec=spec)
    attach(
        cluster,
        namespace,
        {"name": "x", "image": shell},
        {"name": "y", "image": shell, "securityContext": VISITOR},
    )
    for name, uid, capabilities in (("x", b"1000", "0" * 16), ("y", b"0", "0000000000280000")):
        running(cluster, namespace, name)
        assert run(cluster, namespace, "id", "-u", container=name).stdout.strip() == uid
        held = run(cluster, namespace, "grep", "CapEff", "/proc/self/status", container=name).words
        assert held == ["CapEff:", capabilities]


def test_an_ephemeral_container_that_ended_stays_ended(cluster, target, shell):
    attach(
        cluster,
        target,
        {"name": "x", "image": shell, "command": ["sh", "-c", "echo bye >/dev/termination-log; exit 3"]},
    )
    ended = terminated(cluster, target, "x")
    assert (ended.exit_code, ended.reason, ended.message) == (3, "Error", "bye\n")
    assert ended.started_at <= ended.finished_at
    pod = cluster.api.read_namespaced_pod("target", target)
    assert pod.status.phase == "Running"
    assert ephemeral(cluster, target, "x").restart_count == 0


@pytest.mark.parametrize("phase", ["Pending", "Succeeded", "Terminating"])
def test_a_pod_that_does_not_run_takes_them_but_never_starts_them(phase, cluster, namespace, shell):
    container = {"command": ["true"] if phase == "Succeeded" else SLEEP}
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 10}
    if phase == "Pending":
        spec["nodeSelector"] = {"no": "such"}
    cluster.pod(namespace, shell, container=container, spec=spec, wait=phase == "Terminating")
    if phase == "Terminating":
        cluster.api.delete_namespaced_pod("target", namespace)
        assert cluster.api.read_namespaced_pod("target", namespace).metadata.deletion_timestamp
    else:
        eventually(lambda: cluster.api.read_namespaced_pod("target", namespace).status.phase == phase)
    attach(cluster, namespace, {"name": "x", "image": shell})
    with pytest.raises(AssertionError, match="not within"):
        eventually(lambda: ephemeral(cluster, namespace, "x"), 3)
    if phase == "Pending":
        (condition,) = cluster.api.read_namespaced_pod("target", namespace).status.conditions
        assert (condition.type, condition.status, condition.reason) == (
            "PodScheduled",
            "False",
            "Unschedulable",
        )


def test_a_target_that_crashes_can_not_be_joined(cluster, namespace, shell):
    cluster.pod(namespace, shell, container={"command": ["sh", "-c", "exit 3"]}, wait=False)

    def crashed() -> Any:
        (status,) = cluster.api.read_namespaced_pod("target", namespace).status.container_statuses or [None]
        return status and status.restart_count and status.state.waiting

    assert eventually(crashed).reason == "CrashLoopBackOff"
    (status,) = cluster.api.read_namespaced_pod("target", namespace).status.container_statuses
    uid = cluster.api.read_namespaced_pod("target", namespace).metadata.uid
    assert status.state.waiting.message == (
        f"back-off 10s restarting failed container=app pod=target_{namespace}({uid})"
    )
    assert status.last_state.terminated.exit_code == 3
    attach(cluster, namespace, {"name": "x", "image": shell, "targetContainerName": "app"})
    status = eventually(partial(_waiting, cluster, namespace, "x"))
    said = r'invalid target container: container "[0-9a-f]{64}" is not running - in state CONTAINER_EXITED'
    assert re.search(said, status.state.waiting.message)
    # which of them depends on whether the target went before the container was made, or before it was started
    assert status.state.waiting.reason in ("CreateContainerError", "RunContainerError")
    assert any(re.search(said, each) for each in _events(cluster, namespace, "x"))


UNTIL_TOLD = ["sh", "-c", "until [ -e /tmp/end ]; do sleep 0.1; done; exit 1"]
"""Ends when somebody makes a file."""


def _restarted(cluster: Cluster, namespace: str) -> Any:
    """Tell the target to end; return the status of the container that follows it."""
    run(cluster, namespace, "touch", "/tmp/end")

    def anew() -> Any:
        (status,) = cluster.api.read_namespaced_pod("target", namespace).status.container_statuses
        return status if status.restart_count == 1 and status.state.running else None

    return eventually(anew)


def test_the_visitor_dies_with_a_target_that_restarts(cluster, namespace, shell):
    cluster.pod(namespace, shell, container={"command": UNTIL_TOLD})
    (before,) = cluster.api.read_namespaced_pod("target", namespace).status.container_statuses
    attach(cluster, namespace, {"name": "x", "image": shell, "targetContainerName": "app"})
    running(cluster, namespace, "x")
    after = _restarted(cluster, namespace)
    assert after.container_id != before.container_id
    assert after.last_state.terminated.container_id == before.container_id
    assert after.last_state.terminated.exit_code == 1
    ended = terminated(cluster, namespace, "x")
    assert (ended.exit_code, ended.reason) == (137, "Error")


def test_the_visitor_survives_where_processes_are_shared(cluster, namespace, shell):
    spec = {"shareProcessNamespace": True}
    cluster.pod(namespace, shell, container={"command": UNTIL_TOLD}, spec=spec)
    attach(cluster, namespace, {"name": "x", "image": shell, "targetContainerName": "app"})
    running(cluster, namespace, "x")
    before = _processes_of(cluster, namespace, "app")
    _restarted(cluster, namespace)
    after = _processes_of(cluster, namespace, "app")
    assert before
    assert after
    assert not set(before) & set(after)
    assert ephemeral(cluster, namespace, "x").state.running


def test_memory_is_charged_to_the_pod(cluster, namespace, shell):
    limits = {"resources": {"limits": {"memory": "64Mi"}}}
    cluster.pod(namespace, shell, container={"command": SLEEP} | limits)
    greedy = ["perl", "-e", "$x = 'a' x 200_000_000; sleep 60"]
    attach(cluster, namespace, {"name": "x", "image": shell, "command": greedy})
    assert terminated(cluster, namespace, "x").exit_code == 137
    (status,) = cluster.api.read_namespaced_pod("target", namespace).status.container_statuses
    assert status.state.running
    assert status.restart_count == 0


# --- what the visitor sees


def _processes_of(cluster: Cluster, namespace: str, container: str) -> list[int]:
    """Return the processes of a container that the visitor `x` sees, by their cgroup and their mounts."""
    pod = cluster.api.read_namespaced_pod("target", namespace)
    found = next(each for each in pod.status.container_statuses if each.name == container)
    number = found.container_id.partition("://")[2]
    place = f"pods/{pod.metadata.uid}/containers/{container}/[^ ]* /dev/termination-log"
    by_cgroup, by_mounts = (
        sorted(int(path.split("/")[2]) for path in _matching(cluster, namespace, pattern, file))
        for pattern, file in ((number, "cgroup"), (place, "mountinfo"))
    )
    # on a host with the second version of cgroups the id is not to be seen from another cgroup namespace
    assert by_cgroup[:1] in ([], by_mounts[:1])
    return by_mounts


def _matching(cluster: Cluster, namespace: str, pattern: str, file: str) -> list[str]:
    command = f"grep -ls '{pattern}' /proc/[0-9]*/{file}"
    return run(cluster, namespace, "sh", "-c", command, container="x").words


def _namespaces(cluster: Cluster, namespace: str, container: str) -> dict[str, str]:
    names = ("pid", "mnt", "net", "ipc", "uts")
    links = [f"/proc/self/ns/{name}" for name in names]
    found = run(cluster, namespace, "readlink", *links, container=container).words
    return dict(zip(names, found, strict=True))


def test_beside_a_target_its_processes_are_seen(cluster, target, shell):
    attach(
        cluster,
        target,
        {"name": "x", "image": shell, "targetContainerName": "app", "securityContext": VISITOR},
    )
    running(cluster, target, "x")
    assert _processes_of(cluster, target, "app")[0] == 1
    of_target, of_visitor = (_namespaces(cluster, target, each) for each in ("app", "x"))
    shared = {name for name, number in of_target.items() if of_visitor[name] == number}
    assert shared >= {"pid", "net", "ipc"}
    assert "mnt" not in shared
    first = run(cluster, target, "cat", "/proc/1/root/etc/os-release", container="x")
    assert first.stdout.startswith(b"PRETTY_NAME")


def test_without_a_target_only_the_visitor_is_seen(cluster, target, shell):
    attach(cluster, target, {"name": "x", "image": shell})
    running(cluster, target, "x")
    assert _processes_of(cluster, target, "app") == []
    of_target, of_visitor = (_namespaces(cluster, target, each) for each in ("app", "x"))
    assert {name for name, number in of_target.items() if of_visitor[name] == number} >= {"net", "ipc"}
    assert of_target["pid"] != of_visitor["pid"]


def test_where_processes_are_shared_the_first_is_pause(cluster, namespace, shell):
    cluster.pod(namespace, shell, container={"command": SLEEP}, spec={"shareProcessNamespace": True})
    attach(cluster, namespace, {"name": "x", "image": shell})
    running(cluster, namespace, "x")
    assert run(cluster, namespace, "cat", "/proc/1/comm", container="x").stdout == b"pause\n"
    assert _processes_of(cluster, namespace, "app")[0] > 1


# --- pods


def test_init_containers_and_sidecars_go_first(cluster, namespace, shell):
    share: Any = [{"name": "data", "mountPath": "/data"}]
    usual: Any = {"image": shell, "imagePullPolicy": "Never", "volumeMounts": share}
    first: Any = {"name": "first", "command": ["sh", "-c", "echo one >>/data/said"]}
    side = {
        "name": "side",
        "restartPolicy": "Always",
        "command": ["sh", "-c", "echo two >>/data/said; sleep 1000"],
    }
    app: Any = {"name": "app", "command": ["sh", "-c", "echo three $WHO >>/data/said; sleep 1000"]}
    app |= {"env": [{"name": "WHO", "value": "me"}]}
    spec = {
        "initContainers": [usual | first, usual | side],
        "containers": [usual | app],
        "volumes": [{"name": "data", "emptyDir": {}}],
        "terminationGracePeriodSeconds": 1,
    }
    cluster.pod(namespace, manifest={"metadata": {"name": "target"}, "spec": spec})
    assert run(cluster, namespace, "cat", "/data/said").words[0] == "one"
    assert eventually(lambda: run(cluster, namespace, "cat", "/data/said").words[-2:]) == ["three", "me"]
    ended, aside = cluster.api.read_namespaced_pod("target", namespace).status.init_container_statuses
    assert (ended.state.terminated.exit_code, ended.state.terminated.reason) == (0, "Completed")
    assert aside.state.running
    attach(cluster, namespace, {"name": "x", "image": shell, "targetContainerName": "side"})
    running(cluster, namespace, "x")
    assert b"two" in run(cluster, namespace, "cat", "/proc/1/cmdline", container="x").stdout


def test_what_a_pod_reports(cluster, namespace, distroless):
    cluster.pod(namespace, distroless, container={"securityContext": STRICT}, labels={"a": "b"})
    pod = cluster.api.read_namespaced_pod("target", namespace)
    assert pod.status.phase == "Running"
    assert {each.type: each.status for each in pod.status.conditions} == dict.fromkeys(
        ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"), "True"
    )
    (status,) = pod.status.container_statuses
    assert (status.name, status.ready, status.started, status.restart_count) == ("app", True, True, 0)
    assert status.image == f"docker.io/library/{distroless}"
    assert status.image_id.startswith("sha256:")
    runtime, _, number = status.container_id.partition("://")
    assert runtime in ("docker", "containerd")
    assert len(number) == 64
    assert pod.spec.node_name == pod.status.host_ip or pod.spec.node_name
    assert pod.spec.ephemeral_containers is None
    node = cluster.api.read_node(pod.spec.node_name)
    assert {each.type: each.status for each in node.status.conditions}["Ready"] == "True"
    assert node.status.node_info.kubelet_version.startswith("v1.")


def test_pods_are_found_by_selectors_and_in_pages(cluster, namespace, shell):
    for name, labels in (("a", {"app": "web", "tier": "1"}), ("b", {"app": "web"}), ("c", {"app": "db"})):
        cluster.pod(namespace, shell, name=name, labels=labels, container={"command": SLEEP}, wait=False)
    eventually(lambda: len(_found(cluster, namespace, field_selector="status.phase=Running")) == 3)
    assert _found(cluster, namespace, label_selector="app=web") == ["a", "b"]
    assert _found(cluster, namespace, label_selector="app!=web") == ["c"]
    assert _found(cluster, namespace, label_selector="app in (web, db),tier") == ["a"]
    assert _found(cluster, namespace, label_selector="!tier,app notin (db)") == ["b"]
    assert _found(cluster, namespace, field_selector="metadata.name=b") == ["b"]
    assert _found(cluster, namespace, field_selector="status.phase!=Running") == []
    node = cluster.api.read_namespaced_pod("a", namespace).spec.node_name
    assert _found(cluster, namespace, field_selector=f"spec.nodeName={node},metadata.name!=a") == ["b", "c"]
    status = refused(400, lambda: _found(cluster, namespace, field_selector="spec.color=red"))
    assert status["message"] == "field label not supported: spec.color"
    page = cluster.api.list_namespaced_pod(namespace, limit=2)
    assert [each.metadata.name for each in page.items] == ["a", "b"]
    assert page.metadata.remaining_item_count == 1
    rest = cluster.api.list_namespaced_pod(namespace, limit=2, _continue=page.metadata._continue)
    assert [each.metadata.name for each in rest.items] == ["c"]
    assert not rest.metadata._continue


def _found(cluster: Cluster, namespace: str, **selector: str) -> list[str]:
    return [each.metadata.name for each in cluster.api.list_namespaced_pod(namespace, **selector).items]


def test_a_pod_that_is_deleted_without_grace_is_gone(cluster, target):
    cluster.api.delete_namespaced_pod("target", target, grace_period_seconds=0)
    status = refused(404, lambda: cluster.api.read_namespaced_pod("target", target))
    assert status["message"] == 'pods "target" not found'


# --- the server


def test_what_the_server_says_of_itself(cluster):
    code = VersionApi(cluster.client).get_code()
    assert (code.major, code.git_version[:3]) == ("1", "v1.")
    found = {each.name: each for each in cluster.api.get_api_resources().resources}
    assert (found["pods"].kind, found["pods"].namespaced) == ("Pod", True)
    assert set(found["pods/ephemeralcontainers"].verbs) == {"get", "patch", "update"}
    assert set(found["pods/exec"].verbs) == {"create", "get"}


@pytest.mark.slow
def test_a_server_that_restarts_breaks_streams_and_comes_back(cluster, target):
    opened = start(cluster, target, "cat", stdin=True)
    assert opened.is_open()
    cluster.restart_api()
    with pytest.raises((OSError, WebSocketException)):
        _talk(opened)
    pod = eventually(lambda: _pod(cluster, target))
    assert pod.status.phase == "Running"
    eventually(lambda: _answers(cluster, target))


def _talk(opened: Any) -> None:
    for _ in range(100):
        opened.write_channel(0, b"x")
        opened.sock.recv_data_frame(True)


def _pod(cluster: Cluster, namespace: str) -> Any | None:
    try:
        return cluster.api.read_namespaced_pod("target", namespace)
    except (ApiException, HTTPError):
        return None


def _answers(cluster: Cluster, namespace: str) -> bool:
    try:
        return run(cluster, namespace, "echo", "hello").stdout == b"hello\n"
    except (ApiException, OSError):
        return False
