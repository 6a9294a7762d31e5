"""Demo targets in a cluster: a namespace of our own with hardened pods, gone when the demo is over.

Each run has a namespace of its own, whose label has the number of the run: what is removed is only ever what
this run made. What earlier ones left is named, and not removed: whether one is still at work can't be told.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
import time
from collections.abc import Iterator, Mapping
from typing import Any

from kubernetes import client

from toolkit import auditor
from toolkit.clusters import Cluster, RefusedError
from toolkit.demo.cache import Progress
from toolkit.demo.distroless import NONROOT
from toolkit.errors import BarescanError, ScanError
from toolkit.runtimes.kubernetes import nodes, words

_PREFIX = "barescan-demo"
LABEL = "io.barescan.demo"
STATIC, BASE = "barescan-target-static:latest", "barescan-target-base:latest"
PODS = {"static": STATIC, "base": BASE, "shared": BASE}
"""Each pod's name and image. It has one container: all targets listen on the same port."""
SHARED = "shared"
"""The pod in which containers would share their PID namespace."""
CONTAINER = "app"
_REQUESTS = {"cpu": "10m", "memory": "16Mi"}  # no limits: the auditor counts towards a pod's
_LEFT_AFTER = dt.timedelta(hours=1)  # no demo takes that long, as a rule
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

    `image` is used for all of them instead of ours, where it is not empty. Raises ScanError when something is
    refused, or an image can't be had.
    """
    _check_images(cluster, [] if image else [STATIC, BASE], auditor_image)
    _name_left(cluster, progress)
    run = secrets.token_hex(4)
    namespace = namespace_of(run)
    try:
        progress(f"making the namespace {namespace} with {len(PODS)} pods")
        _make_namespace(cluster, run)
        for name, own in PODS.items():
            _make_pod(cluster, namespace, _pod(name, image or own))
        _await_running(cluster, namespace)
        yield [f"k8s-container://{namespace}/{name}/{CONTAINER}" for name in PODS]
    except BaseException:
        if error := _end(cluster, run, progress, keep=keep):
            progress(str(error))  # why it ended matters more
        raise
    if error := _end(cluster, run, progress, keep=keep):
        raise error


def namespace_of(run: str) -> str:
    """Return the name of a run's namespace."""
    return f"{_PREFIX}-{run}"


def _end(cluster: Cluster, run: str, progress: Progress, *, keep: bool) -> ScanError | None:
    """Remove what was made; return the error when that can't be done."""
    namespace = namespace_of(run)
    by_hand = f"kubectl delete namespace {namespace}"
    if keep:
        progress(f"kept; remove it with: {by_hand}")
        return None
    progress(f"removing the namespace {namespace}")
    try:
        _remove(cluster, run)
    except BarescanError as error:
        return ScanError(f"the namespace {namespace} was not removed: {error.cause}", f"remove it: {by_hand}")
    return None


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


def _name_left(cluster: Cluster, progress: Progress) -> None:
    """Name what earlier demos left, or were told to keep."""
    try:
        found = cluster.call(cluster.core.list_namespace, label_selector=LABEL).items
    except RefusedError:
        return  # who may make a namespace need not see those of others
    latest = dt.datetime.now(dt.UTC) - _LEFT_AFTER
    left = sorted(each.metadata.name for each in found if each.metadata.creation_timestamp < latest)
    if left:
        progress(f"left by earlier demos; remove it if it may go: kubectl delete namespace {' '.join(left)}")


def _namespace(cluster: Cluster, name: str) -> Any:
    """Return a namespace, None where there is none."""
    try:
        return cluster.call(cluster.core.read_namespace, name)
    except RefusedError as refusal:
        if refusal.status == 404:
            return None
        raise _refused(refusal, name) from None


def _refused(refusal: RefusedError, namespace: str) -> ScanError:
    error = words.refused(refusal, words.Place(namespace, "", "", ""))
    if refusal.status == 403:
        return ScanError(
            f"the demo makes a namespace of its own, and {error.cause}",
            "use a cluster of your own (kind, k3s, minikube), or scan a pod: "
            "invoke scan --target k8s-container://NAMESPACE/POD",
        )
    return error


def _make_namespace(cluster: Cluster, run: str) -> None:
    levels = {f"pod-security.kubernetes.io/{mode}": "privileged" for mode in ("enforce", "audit", "warn")}
    body = client.V1Namespace(
        metadata=client.V1ObjectMeta(name=namespace_of(run), labels={LABEL: run, **levels})
    )
    try:
        cluster.call(cluster.core.create_namespace, body)
    except RefusedError as refusal:
        raise _refused(refusal, namespace_of(run)) from None


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


def _make_pod(cluster: Cluster, namespace: str, pod: client.V1Pod) -> None:
    until = time.monotonic() + _ACCOUNT_SECONDS
    while True:
        try:
            cluster.call(cluster.core.create_namespaced_pod, namespace, pod)
        except RefusedError as refusal:
            if "serviceaccount" not in refusal.message or time.monotonic() > until:
                raise _refused(refusal, namespace) from None
            time.sleep(_EVERY_SECONDS)
        else:
            return


def _await_running(cluster: Cluster, namespace: str) -> None:
    """Return once every container runs; raises ScanError when one never will."""
    until = time.monotonic() + _RUNNING_SECONDS
    while True:
        states = dict(_states(cluster, namespace))
        _judge(states)
        if all(state and state.running for state in states.values()):
            return
        if time.monotonic() > until:
            late = ", ".join(pod for (pod, _), state in states.items() if not (state and state.running))
            raise ScanError(
                f"these pods did not start in {_RUNNING_SECONDS:g} seconds: {late}",
                f"see, with --keep: kubectl describe pods --namespace {namespace}",
            )
        time.sleep(_EVERY_SECONDS)


def _states(cluster: Cluster, namespace: str) -> Iterator[tuple[tuple[str, str], Any]]:
    """Yield pod and image with the state of its container, None where it has none yet."""
    try:
        found = cluster.call(cluster.core.list_namespaced_pod, namespace, label_selector=LABEL)
    except RefusedError as refusal:
        raise _refused(refusal, namespace) from None
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
    namespace = namespace_of(run)
    if ours and not _gone(cluster, namespace):
        raise ScanError(
            f"the namespace {namespace} was deleted, and is still there",
            f"see: kubectl get namespace {namespace} -o yaml",
        )


def _delete_of(cluster: Cluster, run: str) -> bool:
    """Delete the namespace when it is that of a run; say whether it was."""
    found = _namespace(cluster, namespace_of(run))
    ours = found is not None and (found.metadata.labels or {}).get(LABEL) == run
    if ours:
        _delete(cluster, found)
    return ours


def _delete(cluster: Cluster, namespace: Any) -> None:
    """Delete this very namespace, and no other that has got its name meanwhile."""
    very = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid=namespace.metadata.uid))
    name = str(namespace.metadata.name)
    try:
        cluster.call(cluster.core.delete_namespace, name, body=very)
    except RefusedError as refusal:
        if refusal.status not in {404, 409}:
            raise _refused(refusal, name) from None


def _gone(cluster: Cluster, namespace: str) -> bool:
    """Wait until a namespace is gone; say whether it is."""
    until = time.monotonic() + _GONE_SECONDS
    while time.monotonic() < until:
        if _namespace(cluster, namespace) is None:
            return True
        time.sleep(_EVERY_SECONDS)
    return False
