"""Demo targets in a cluster: a namespace of our own with hardened pods, gone when the demo is over.

The namespace carries a label with the number of the run: what is removed is only ever what a demo made.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator, Mapping
from typing import Any

from kubernetes import client

from toolkit import auditor
from toolkit.clusters import Cluster, RefusedError
from toolkit.demo.cache import Progress
from toolkit.demo.distroless import NONROOT
from toolkit.errors import ScanError
from toolkit.runtimes.kubernetes import nodes, words

NAMESPACE = "barescan-demo"
LABEL = "io.barescan.demo"
STATIC, BASE = "barescan-target-static:latest", "barescan-target-base:latest"
PODS = {"static": STATIC, "base": BASE, "shared": BASE}
"""Each pod's name and image. It has one container: all targets listen on the same port."""
SHARED = "shared"
"""The pod in which containers would share their PID namespace."""
CONTAINER = "app"
_REQUESTS = {"cpu": "10m", "memory": "16Mi"}  # no limits: the auditor counts towards a pod's
_GRACE_SECONDS = 1  # the targets have nothing to finish
_ACCOUNT_SECONDS = 15.0  # for a new namespace to have its service account
_RUNNING_SECONDS = 120.0
_GONE_SECONDS = 60.0
_EVERY_SECONDS = 0.3
_NO_IMAGE = {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"}
_PENDING = {"", "ContainerCreating", "PodInitializing"}


@contextlib.contextmanager
def targets(
    cluster: Cluster, auditor_image: str, image: str, progress: Progress, *, keep: bool = False
) -> Iterator[list[str]]:
    """Make the pods, give their containers' URIs, and remove everything afterwards unless `keep`.

    `image` is used for all of them instead of ours, where it is not empty. Raises ScanError when the
    namespace is somebody else's, something is refused, or an image can't be had.
    """
    _check_images(cluster, [] if image else [STATIC, BASE], auditor_image)
    _clear(cluster, progress)
    run = secrets.token_hex(4)
    try:
        progress(f"making the namespace {NAMESPACE} with {len(PODS)} pods")
        _make_namespace(cluster, run)
        for name, own in PODS.items():
            _make_pod(cluster, _pod(name, image or own))
        _await_running(cluster)
        yield [f"k8s-container://{NAMESPACE}/{name}/{CONTAINER}" for name in PODS]
    finally:
        if keep:
            progress(f"kept; remove it with: kubectl delete namespace {NAMESPACE}")
        else:
            progress(f"removing the namespace {NAMESPACE}")
            _remove(cluster, run)


def _check_images(cluster: Cluster, ours: list[str], auditor_image: str) -> None:
    """Refuse at once where no node has one of our own images, which are in no registry."""
    wanted = [*ours, *([auditor_image] if auditor_image == auditor.IMAGE else [])]
    try:
        listed = nodes.read(cluster)
    except RefusedError:
        return  # then the pods will tell
    missing = [image for image in wanted if nodes.having(listed, image).nowhere]
    if missing:
        raise _not_there(missing)


def _not_there(images: list[str]) -> ScanError:
    names = " ".join(images)
    return ScanError(
        f"no node has {' and '.join(images)}, and no registry gives it",
        "build the images (invoke targets.up --engine docker --variant static, the same with base; invoke "
        f"images.build), and load them on each node: docker save {names} | ctr -n k8s.io images import - "
        f"(kind load docker-image {names}; minikube image load; k3s ctr images import), "
        "or name others with --demo-image and --image",
    )


def _clear(cluster: Cluster, progress: Progress) -> None:
    """Remove what an earlier demo left; refuse a namespace that no demo made."""
    found = _namespace(cluster)
    if found is None:
        return
    if LABEL not in (found.metadata.labels or {}):
        raise ScanError(
            f"there is a namespace {NAMESPACE} that no demo made",
            f"remove it if it may go: kubectl delete namespace {NAMESPACE}; or scan a pod of yours",
        )
    progress("removing what an earlier demo left")
    _delete(cluster, found)
    if not _gone(cluster):
        raise ScanError(
            f"the namespace {NAMESPACE} of an earlier demo does not go away",
            f"see: kubectl get namespace {NAMESPACE} -o yaml",
        )


def _namespace(cluster: Cluster) -> Any:
    """Return our namespace, None where there is none."""
    try:
        return cluster.call(cluster.core.read_namespace, NAMESPACE)
    except RefusedError as refusal:
        if refusal.status == 404:
            return None
        raise _refused(refusal) from None


def _refused(refusal: RefusedError) -> ScanError:
    error = words.refused(refusal, words.Place(NAMESPACE, "", "", ""))
    if refusal.status == 403:
        return ScanError(
            f"the demo makes a namespace of its own, and {error.cause}",
            "use a cluster of your own (kind, k3s, minikube), or scan a pod: "
            "invoke scan --target k8s-container://NAMESPACE/POD",
        )
    return error


def _make_namespace(cluster: Cluster, run: str) -> None:
    levels = {f"pod-security.kubernetes.io/{mode}": "privileged" for mode in ("enforce", "audit", "warn")}
    body = client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE, labels={LABEL: run, **levels}))
    try:
        cluster.call(cluster.core.create_namespace, body)
    except RefusedError as refusal:
        raise _refused(refusal) from None


def _pod(name: str, image: str) -> client.V1Pod:
    """Return a pod as the Pod Security level `restricted` wants it, with a read-only root besides."""
    return client.V1Pod(
        metadata=client.V1ObjectMeta(name=name, labels={LABEL: name}),
        spec=client.V1PodSpec(
            containers=[_container(image)],
            automount_service_account_token=False,
            enable_service_links=False,
            share_process_namespace=name == SHARED,
            termination_grace_period_seconds=_GRACE_SECONDS,
            security_context=client.V1PodSecurityContext(
                run_as_non_root=True,
                run_as_user=NONROOT,
                run_as_group=NONROOT,
                seccomp_profile=client.V1SeccompProfile(type="RuntimeDefault"),
            ),
        ),
    )


def _container(image: str) -> client.V1Container:
    return client.V1Container(
        name=CONTAINER,
        image=image,
        image_pull_policy="IfNotPresent",
        resources=client.V1ResourceRequirements(requests=_REQUESTS),
        security_context=client.V1SecurityContext(
            allow_privilege_escalation=False,
            read_only_root_filesystem=True,
            capabilities=client.V1Capabilities(drop=["ALL"]),
        ),
    )


def _make_pod(cluster: Cluster, pod: client.V1Pod) -> None:
    until = time.monotonic() + _ACCOUNT_SECONDS
    while True:
        try:
            cluster.call(cluster.core.create_namespaced_pod, NAMESPACE, pod)
        except RefusedError as refusal:
            if "serviceaccount" not in refusal.message or time.monotonic() > until:
                raise _refused(refusal) from None
            time.sleep(_EVERY_SECONDS)
        else:
            return


def _await_running(cluster: Cluster) -> None:
    """Return once every container runs; raises ScanError when one never will."""
    until = time.monotonic() + _RUNNING_SECONDS
    while True:
        states = dict(_states(cluster))
        _judge(states)
        if all(state and state.running for state in states.values()):
            return
        if time.monotonic() > until:
            late = ", ".join(pod for (pod, _), state in states.items() if not (state and state.running))
            raise ScanError(
                f"these pods did not start in {_RUNNING_SECONDS:g} seconds: {late}",
                f"see, with --keep: kubectl describe pods --namespace {NAMESPACE}",
            )
        time.sleep(_EVERY_SECONDS)


def _states(cluster: Cluster) -> Iterator[tuple[tuple[str, str], Any]]:
    """Yield pod and image with the state of its container, None where it has none yet."""
    try:
        found = cluster.call(cluster.core.list_namespaced_pod, NAMESPACE, label_selector=LABEL)
    except RefusedError as refusal:
        raise _refused(refusal) from None
    for pod in found.items:
        states = [each.state for each in pod.status.container_statuses or []]
        yield (pod.metadata.name, pod.spec.containers[0].image), states[0] if states else None


def _judge(states: Mapping[tuple[str, str], Any]) -> None:
    missing = set()
    for (pod, image), state in states.items():
        reason = (state.waiting.reason or "") if state and state.waiting else ""
        if reason in _NO_IMAGE:
            missing.add(image)
        elif reason not in _PENDING or (state and state.terminated):
            said = reason or f"it ended with {state.terminated.exit_code}"
            raise ScanError(
                f"the demo's pod {pod} does not keep running ({said})",
                f"its image {image} must keep running, as user {NONROOT} and with a read-only root",
            )
    if missing:
        raise _not_there(sorted(missing))


def _remove(cluster: Cluster, run: str) -> None:
    """Remove the namespace of this run, also when the user is in a hurry; leave any other alone."""
    try:
        ours = _delete_of(cluster, run)
    except KeyboardInterrupt:  # a second Ctrl-C
        _delete_of(cluster, run)
        raise
    if ours and not _gone(cluster):
        raise ScanError(
            f"the namespace {NAMESPACE} was deleted, and is still there",
            f"see: kubectl get namespace {NAMESPACE} -o yaml",
        )


def _delete_of(cluster: Cluster, run: str) -> bool:
    """Delete the namespace when it is that of a run; say whether it was."""
    found = _namespace(cluster)
    ours = found is not None and (found.metadata.labels or {}).get(LABEL) == run
    if ours:
        _delete(cluster, found)
    return ours


def _delete(cluster: Cluster, namespace: Any) -> None:
    """Delete this very namespace, and no other that has got its name meanwhile."""
    very = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid=namespace.metadata.uid))
    try:
        cluster.call(cluster.core.delete_namespace, NAMESPACE, body=very)
    except RefusedError as refusal:
        if refusal.status not in {404, 409}:
            raise _refused(refusal) from None


def _gone(cluster: Cluster) -> bool:
    """Wait until our namespace is gone; say whether it is."""
    until = time.monotonic() + _GONE_SECONDS
    while time.monotonic() < until:
        if _namespace(cluster) is None:
            return True
        time.sleep(_EVERY_SECONDS)
    return False
