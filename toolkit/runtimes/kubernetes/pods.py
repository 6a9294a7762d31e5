"""A pod as its API server describes it: which container is the target, and why it can't be scanned now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from toolkit.auditor import SIDECAR
from toolkit.clusters import Cluster, RefusedError
from toolkit.errors import ScanError
from toolkit.reports.text import visible
from toolkit.runtimes.kubernetes import trust, words

ENDED = ("Succeeded", "Failed")
_SHARED = "Always"
_NOT_FOUND = 404
_MIRROR = "kubernetes.io/config.mirror"
"""On what the API server shows of a static pod, which the kubelet runs from a file."""


@dataclass(frozen=True)
class Target:
    """A running container of a pod, as it was when it was looked up."""

    pod: Any
    status: Any
    spec: Any

    @property
    def id(self) -> str:
        """Return the container's id, without the name of its runtime."""
        return str(self.status.container_id).rpartition("://")[2]

    @property
    def uid(self) -> str:
        """Return the pod's uid."""
        return str(self.pod.metadata.uid)

    def sidecars(self, image: str) -> list[str]:
        """Return the names of the auditors of this image that run in the pod as sidecars."""
        running = {each.name for each in statuses(self.pod) if each.state and each.state.running}
        found = _containers(self.pod).values()
        return [each.name for each in found if each.name in running and trust.is_auditor(each, image)]

    @property
    def false_sidecar(self) -> bool:
        """Whether a container is called as an auditor is; what it is has to be found out."""
        return SIDECAR in _containers(self.pod) and self.spec.name != SIDECAR

    @property
    def shares_pids(self) -> bool:
        """Whether processes of others are in the container's PID namespace."""
        return bool(self.pod.spec.share_process_namespace or self.pod.spec.host_pid)


def statuses(pod: Any) -> list[Any]:
    """Return the status of every container, init containers included, ephemeral ones not."""
    return [*(pod.status.container_statuses or []), *(pod.status.init_container_statuses or [])]


def lasting(pod: Any, image: str) -> list[str]:
    """Return the names of the containers that are there for as long as the pod, auditors of `image` left out.

    Init containers are, where they are started again whenever they end.
    """
    inits = [each for each in pod.spec.init_containers or [] if each.restart_policy == _SHARED]
    return [each.name for each in [*pod.spec.containers, *inits] if not trust.is_auditor(each, image)]


def image_of(pod: Any, container: str) -> str:
    """Return the image that a container of the pod is made of; empty when there is no such container."""
    found = _containers(pod).get(container)
    return str(found.image) if found else ""


def _containers(pod: Any) -> dict[str, Any]:
    return {each.name: each for each in [*pod.spec.containers, *(pod.spec.init_containers or [])]}


def read(cluster: Cluster, place: words.Place) -> Any:
    """Return the pod; raises ScanError when there is none or we may not read it."""
    try:
        return cluster.call(cluster.core.read_namespaced_pod, place.pod, place.namespace)
    except RefusedError as refusal:
        check_namespace(cluster, place, refusal)
        raise words.refused(refusal, place) from None


def check_namespace(cluster: Cluster, place: words.Place, refusal: RefusedError | None = None) -> None:
    """Raise ScanError when the reason that nothing is found is that there is no such namespace.

    Not told where namespaces may not be read; not asked for anything else than a 404.
    """
    if refusal is not None and refusal.status != _NOT_FOUND:
        return
    try:
        cluster.call(cluster.core.read_namespace, place.namespace)
    except RefusedError as said:
        if said.status == _NOT_FOUND:
            raise ScanError(
                f"there is no namespace {place.namespace}",
                "see: kubectl get namespaces; --context names another cluster",
            ) from None


def target(pod: Any, place: words.Place) -> Target:
    """Return the container to scan; raises ScanError when it is not one that runs."""
    known = _containers(pod)
    if place.container not in known:
        raise ScanError(
            f"the pod {place.pod} has no container {visible(place.container)}",
            f"name one of {', '.join(known)}",
        )
    _check_pod(pod, place)
    found = next((each for each in statuses(pod) if each.name == place.container), None)
    if found is None or not (found.state and found.state.running) or not found.container_id:
        raise _not_running(found, place)
    return Target(pod, found, known[place.container])


def _check_pod(pod: Any, place: words.Place) -> None:
    if pod.metadata.deletion_timestamp:
        raise ScanError(f"the pod {place.pod} is being deleted", f"scan another one, or {place.instead}")
    if pod.status.phase in ENDED:
        raise ScanError(
            f"the pod {place.pod} has ended ({pod.status.phase})", f"scan one that runs, or {place.instead}"
        )
    if pod.spec.os and pod.spec.os.name == "windows":
        raise ScanError(f"{place.pod} is a pod for Windows", "barescan scans Linux containers")
    if _MIRROR in (pod.metadata.annotations or {}) and SIDECAR not in _containers(pod):
        raise words.refused(RefusedError(422, "static pods do not support ephemeral containers"), place)
    if not pod.spec.node_name:
        raise ScanError(
            f"the pod {place.pod} is on no node yet ({_why_pending(pod)})", "scan it once it runs"
        )


def _why_pending(pod: Any) -> str:
    scheduled = next((each for each in pod.status.conditions or [] if each.type == "PodScheduled"), None)
    return visible(str((scheduled and scheduled.message) or pod.status.phase), 200)


def _not_running(status: Any, place: words.Place) -> ScanError:
    state = status.state if status else None
    look = f"kubectl describe pod --namespace {place.namespace} {place.pod}"
    if state and state.waiting:
        why = ": ".join(filter(None, (state.waiting.reason, state.waiting.message)))
        if state.waiting.reason == "CrashLoopBackOff":
            look = _logs(place)
    elif state and state.terminated:
        ended = state.terminated
        why = f"it ended with {ended.exit_code}, {ended.reason}"
        look = _logs(place)
    else:
        why = "it has no state yet"
    return ScanError(
        f"the container {place.container} of the pod {place.pod} does not run ({visible(why, 300)})",
        f"see: {look}; or {place.instead}",
        transient=True,
    )


def _logs(place: words.Place) -> str:
    return f"kubectl logs --previous --namespace {place.namespace} {place.pod} -c {place.container}"
