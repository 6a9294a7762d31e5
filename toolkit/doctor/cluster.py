"""A Kubernetes cluster: reached, allowed to, and with the auditor image on its nodes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from kubernetes import client

from toolkit import clusters
from toolkit.clusters import Cluster, RefusedError
from toolkit.doctor.host import too_old
from toolkit.doctor.records import Check, Finding, NotSetUpError, State, look, no, ok, unknown
from toolkit.errors import ScanError
from toolkit.runtimes.kubernetes import nodes, pods, words
from toolkit.runtimes.kubernetes.rights import security_context

_ENFORCED = "pod-security.kubernetes.io/enforce"
_PRIVILEGED = "privileged"
_EXEC_NEEDS_CREATE = (1, 35)
_EPHEMERAL = "pods/ephemeralcontainers"
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_NODES_MAY_NOT = "this user may not read nodes"


def cluster(context: str, place: words.Place) -> Iterator[Check]:
    """Look at the cluster of a context; NotSetUpError where no kubeconfig leads to one.

    `place` is what is to be scanned: a namespace (empty for that of the context), in it a pod, or any.
    """
    _require_configuration(context)
    return _looks(context, place)


def _require_configuration(context: str) -> None:
    named = os.environ.get("KUBECONFIG", "")
    paths = [Path(path).expanduser() for path in (named or "~/.kube/config").split(os.pathsep) if path]
    if context or any(path.exists() for path in paths) or _in_a_pod():
        return
    if named:
        raise NotSetUpError(f"KUBECONFIG names no file that is there: {named}")
    raise NotSetUpError("there is no kubeconfig (KUBECONFIG, ~/.kube/config), and this is no pod")


def _in_a_pod() -> bool:
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and _SERVICE_ACCOUNT.exists()


def _looks(context: str, place: words.Place) -> Iterator[Check]:
    configured = look("kubeconfig", _configured, context)
    yield configured
    if configured.state is not State.OK:
        return
    try:
        found = clusters.connect(context)
    except ScanError as error:
        yield Check("API server", State.NO, error.cause, error.remedy)
        return
    place = replace(place, namespace=place.namespace or found.namespace)
    yield look("API server", lambda: ok(f"{found.host} answers"))
    yield look("version", _version, found)
    yield look(_EPHEMERAL, _ephemeral_containers, found)
    there = look("namespace", _namespace, found, place)
    yield there
    if there.state is not State.NO:  # else the API server says of it what it would say of one that is there
        yield from _in_namespace(found, place)
    yield from _on_nodes(found, place.image)


def _in_namespace(found: Cluster, place: words.Place) -> Iterator[Check]:
    if place.pod:
        yield look("target", _target, found, place)
    for verb, resource, needed in _rights(found, place):
        yield look(f"{verb} {resource}", _may, found, verb, resource, place, needed=needed)
    yield look("Pod Security", _pod_security, found, place)


def _configured(context: str) -> Finding:
    try:
        return ok(f"context {clusters.context_of(context)[0]}")
    except Exception as error:  # the client takes a kubeconfig for what it should be
        if _in_a_pod() and not context:
            return ok("the service account of this pod")
        return no(f"it can't be used: {error}", "see: kubectl config get-contexts")


def _version(found: Cluster) -> Finding:
    return ok(f"Kubernetes {'.'.join(map(str, found.version))}")  # what is too old was refused above


def _ephemeral_containers(found: Cluster) -> Finding:
    known = found.resources
    if known is None:
        return unknown("the API server does not tell")
    if _EPHEMERAL in known:
        return ok("this cluster has them")
    return no("this cluster has none", "add the auditor as a sidecar (invoke manifests.sidecar)")


def _refused(refusal: RefusedError, place: words.Place) -> Finding:
    error = words.refused(refusal, place)
    if refusal.status == 401:
        return no(error.cause, error.remedy)
    return unknown(error.cause, error.remedy)


def _labels(found: Cluster, namespace: str) -> dict[str, str]:
    """Return the labels of a namespace; raises RefusedError."""
    return dict(found.call(found.core.read_namespace, namespace).metadata.labels or {})


def _namespace(found: Cluster, place: words.Place) -> Finding:
    try:
        _labels(found, place.namespace)
    except RefusedError as refusal:
        if refusal.status == 404:
            return no(f"there is no namespace {place.namespace}", "name another one with --namespace")
        if refusal.status == 403:  # a namespace itself need not be read for a scan
            return ok(f"{place.namespace} (not to be read by this user)")
        return _refused(refusal, place)
    return ok(place.namespace)


def _target(found: Cluster, place: words.Place) -> Finding:
    try:
        pod = found.call(found.core.read_namespaced_pod, place.pod, place.namespace)
    except RefusedError as refusal:
        if refusal.status == 403:
            return unknown(f"{place.pod} is not to be read by this user")
        error = words.refused(refusal, place)
        return (no if refusal.status in {401, 404} else unknown)(error.cause, error.remedy)
    names = pods.lasting(pod, place.image)
    if place.container and place.container not in names:
        return no(f"the pod {place.pod} has no container {place.container}", f"it has {', '.join(names)}")
    return ok(f"pod {place.pod}, container{'' if len(names) == 1 else 's'} {', '.join(names)}")


def _rights(found: Cluster, place: words.Place) -> Iterator[tuple[str, str, bool]]:
    """Yield verb and resource of each right, and whether no scan is possible without it."""
    yield "get", "pods", True
    yield "patch", _EPHEMERAL, True
    yield "get", "pods/exec", True
    if found.version >= _EXEC_NEEDS_CREATE:
        yield "create", "pods/exec", True
    if not place.pod:
        yield "list", "pods", False
    yield "list", "events", False


_WITHOUT = {
    "list pods": "pods can't be selected by label",
    "list events": "what keeps an auditor from starting is told a dozen seconds later",
}


def _may(found: Cluster, verb: str, resource: str, place: words.Place) -> Finding:
    by_name = verb != "list"  # which asks for all there are
    name = place.pod if by_name else ""
    allowed = found.allows(verb, resource, place.namespace, name)
    if allowed:
        return ok(f"allowed for {name}" if name else f"allowed in {place.namespace}")
    if allowed is None:
        return unknown("the API server does not tell")
    error = words.may_not(verb, resource, place)
    if by_name and not name and _names_some(found, verb, resource, place.namespace):
        return unknown(
            "not for the whole namespace; may be allowed for named pods: --target asks", error.remedy
        )
    without = _WITHOUT.get(f"{verb} {resource}")
    return no(error.cause + (f": {without}" if without else ""), error.remedy)


def _names_some(found: Cluster, verb: str, resource: str, namespace: str) -> bool:
    """Whether a right may be there for named pods; True also where the API server does not tell all."""
    review = client.V1SelfSubjectRulesReview(spec=client.V1SelfSubjectRulesReviewSpec(namespace=namespace))
    try:
        told = found.call(found.authorization.create_self_subject_rules_review, review).status
    except RefusedError:
        return True
    return bool(told.incomplete) or any(
        rule.resource_names and {verb, "*"} & set(rule.verbs) and {resource, "*"} & set(rule.resources or [])
        for rule in told.resource_rules or []
    )


def _pod_security(found: Cluster, place: words.Place) -> Finding:
    try:
        level = _labels(found, place.namespace).get(_ENFORCED, "")
    except RefusedError:
        level = ""
    if level == _PRIVILEGED:
        return ok(f"level {level}: the auditor is admitted")
    if level:
        return no(
            f"level {level} of the namespace does not admit the auditor, which needs SYS_ADMIN",
            "scan images with image://, or allow it for the time of the scan: kubectl label namespace "
            f"{place.namespace} {_ENFORCED}={_PRIVILEGED} --overwrite",
        )
    return _tried(found, place)


def _tried(found: Cluster, place: words.Place) -> Finding:
    """Ask the API server for a pod like the auditor, without having it made."""
    if not found.allows("create", "pods", place.namespace):
        return unknown("no level is to be read, and this user may not try it by creating a pod (dry run)")
    container = client.V1Container(name="auditor", image=place.image, security_context=security_context())
    pod = client.V1Pod(
        metadata=client.V1ObjectMeta(generate_name="barescan-doctor-"),
        spec=client.V1PodSpec(containers=[container], automount_service_account_token=False),
    )
    try:
        found.call(found.core.create_namespaced_pod, place.namespace, pod, dry_run="All")
    except RefusedError as refusal:
        error = words.refused(refusal, place)
        if any(said in refusal.message for said in ("PodSecurity", "denied", "AdmissionPolicy")):
            return no(error.cause, error.remedy)
        return unknown(error.cause)
    return ok("the auditor is admitted (no level is set, a dry run was accepted)")


def _on_nodes(found: Cluster, image: str) -> Iterator[Check]:
    try:
        listed = nodes.read(found)
    except RefusedError:
        listed = []
    except ScanError as error:
        yield Check("nodes", State.UNKNOWN, error.cause, error.remedy)
        return
    yield look("nodes' kernels", _kernels, listed)
    yield look("auditor image", _image, listed, image)


def _kernels(listed: list[Any]) -> Finding:
    if not listed:
        return unknown(_NODES_MAY_NOT)
    releases = {each.metadata.name: str(each.status.node_info.kernel_version) for each in listed}
    old = [f"{name} ({release})" for name, release in releases.items() if too_old(release)]
    if len(old) == len(listed):
        return no(f"too old: {', '.join(old)}", "use nodes with Linux 5.12 or newer, or image://")
    if old:
        return unknown(f"too old on some nodes: {', '.join(old)}", "scan pods of the others")
    return ok(f"Linux {', '.join(sorted(set(releases.values())))}")


def _image(listed: list[Any], image: str) -> Finding:
    if not listed:
        return unknown(f"{_NODES_MAY_NOT}: whether they have {image} is not known")
    where = nodes.having(listed, image)
    if where.everywhere:
        which = "the node" if where.nodes == 1 else f"all {where.nodes} nodes"
        return ok(f"{image} is on {which} (its version is seen when it starts)")
    load = words.load(image)
    if where.having:
        return unknown(f"{image} is known to be on {len(where.having)} of {where.nodes} nodes only", load)
    if nodes.from_registry(image):
        return unknown(f"{image} is not known to be on a node, which then pulls it from its registry", load)
    if where.nowhere:
        return no(f"no node has {image}", load)
    return unknown(f"no node lists {image}, but they list their 50 largest images only", load)
