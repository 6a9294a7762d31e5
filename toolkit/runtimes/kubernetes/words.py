"""What a cluster says when it does not let an auditor in, as a cause and the next step.

The words matched are those of the API server and the kubelet of Kubernetes 1.34; what is not known is passed
on as it was said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from toolkit.clusters import RefusedError
from toolkit.errors import ScanError
from toolkit.reports.text import visible


@dataclass(frozen=True)
class Place:
    """Where an auditor was to be put: what the sentences name."""

    namespace: str
    pod: str
    container: str
    image: str
    """The auditor's."""
    target_image: str = ""

    @property
    def named(self) -> str:
        """Return the pod in brackets, where one is meant: rights may be to single pods."""
        return f" (pod {self.pod})" if self.pod else ""

    @property
    def instead(self) -> str:
        """Return the way that needs nothing in the cluster."""
        return f"scan its image with image://{self.target_image or 'REFERENCE'}"


class _Rule(NamedTuple):
    """What it means when `pattern` is found; in the sentences may stand its groups, `said` and `place`."""

    pattern: str
    cause: str
    remedy: str
    transient: bool = False


_GRANT = "have an administrator grant it: invoke manifests.rbac prints the least Role"
_LABEL = (
    "{place.instead}, or allow it for the time of the scan: kubectl label namespace {place.namespace} "
    "pod-security.kubernetes.io/enforce=privileged --overwrite"
)
_LOAD = (
    "push it to a registry that the node reaches (invoke images.push) and name it with --image, or load it "
    "on the node: docker save {place.image} | ctr -n k8s.io images import - "
    "(kind load docker-image, minikube image load, k3s ctr images import); the node tries again until the "
    "pod is deleted, and an auditor that starts so ends by itself"
)
_BUILD = "is it an auditor image, of the node's architecture? build it with invoke images.build"
_REFUSALS = (
    _Rule(
        r'violates PodSecurity "(?P<level>[^":]+)[^"]*": (?P<what>.*)',
        "Pod Security level {level} of the namespace {place.namespace} does not admit the auditor: {what}",
        _LABEL,
    ),
    _Rule(r"^401 ", "the API server does not accept these credentials", "log in to the cluster anew"),
    _Rule(
        r'^403 .*User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)"',
        "the user {user} may not {verb} {resource} in the namespace {place.namespace}{place.named}",
        _GRANT,
    ),
    _Rule(
        r"^404 .*\bpods\b",
        "there is no pod {place.pod} in the namespace {place.namespace}",
        "see: kubectl get pods --namespace {place.namespace}; --context names another cluster",
    ),
    _Rule(
        r"static pods do not support ephemeral containers",
        "{place.pod} is a static pod, to which no auditor can be added",
        "add one to its manifest (invoke manifests.sidecar --kind pod), or {place.instead}",
    ),
    _Rule(
        r"targetContainerName: Not found|container \S+ is not valid for pod",
        "the pod {place.pod} has no container {place.container}",
        "see: kubectl get pod {place.pod} --namespace {place.namespace} -o yaml",
    ),
    _Rule(
        r"may not be changed|Duplicate value",
        "the name of the auditor is taken in the pod {place.pod}",
        "scan again: it gets another one",
        transient=True,
    ),
    _Rule(
        r"admission webhook|denied the request|ValidatingAdmissionPolicy",
        "a policy of the cluster does not admit the auditor: {said}",
        "have it exempted, use a sidecar (invoke manifests.sidecar), or {place.instead}",
    ),
    _Rule(
        r"^429 ",
        "the API server has too much to do",
        "scan again later, or with fewer --jobs",
        transient=True,
    ),
    _Rule(
        r"^5\d\d ",
        "the API server could not do it: {said}",
        "is the cluster in good health? see: kubectl get --raw /readyz?verbose",
        transient=True,
    ),
    _Rule(r"", "the API server refused: {said}", "see what the cluster's administrator allows"),
)
_WAITING = (
    _Rule(
        r"ErrImageNeverPull|not present with pull policy of Never",
        "the auditor image {place.image} can't be had: the node does not have it, and may not pull it",
        _LOAD,
    ),
    _Rule(r"InvalidImageName", "{place.image!r} is no name of an image", "correct --image"),
    _Rule(
        r"ErrImagePull|ImagePullBackOff|RegistryUnavailable|Failed to pull image",
        "the auditor image {place.image} can't be had: {said}",
        _LOAD,
    ),
    _Rule(
        r"runAsNonRoot",
        "the pod does not let the auditor run as root: {said}",
        "{place.instead}, or use a sidecar (invoke manifests.sidecar) where the pod may be changed",
    ),
    _Rule(
        r"invalid target container",
        "the container {place.container} does not run: {said}",
        "scan again once it keeps running, or {place.instead}",
        transient=True,
    ),
    _Rule(
        r"RunContainerError|StartError|CreateContainerError|ContainerCannotRun",
        "the node could not start the auditor {place.image}: {said}",
        _BUILD,
    ),
)
_ENDED = (
    *_WAITING,
    _Rule(
        r"^OOMKilled",
        "the auditor was killed for lack of memory: it counts towards the pod's limit",
        "raise the pod's memory limit, or {place.instead}",
    ),
    _Rule(
        r"\(137\)",
        "the auditor was killed as it started: the container {place.container} has ended, or kills it",
        "scan again once it keeps running",
        transient=True,
    ),
    _Rule(r"", "the auditor {place.image} ended at once: {said}", _BUILD),
)
_LISTED = re.compile(r'containers? "[^"]*"(, "[^"]*")*')
"""How Pod Security names containers: also those of earlier scans, which stay in the pod."""
_KILLED = (
    _Rule(
        r"exit code 137",
        "the auditor was killed before it could answer: its target has ended, or memory is short",
        "scan again once it keeps running, or raise the pod's memory limit",
        transient=True,
    ),
)
_STARTING = {"", "ContainerCreating", "PodInitializing"}
_NOT_YET = ("container not found", "unable to upgrade connection", "is waiting to start")


def _judge(rules: tuple[_Rule, ...], said: str, place: Place) -> ScanError | None:
    for rule in rules:
        found = re.search(rule.pattern, said, re.DOTALL)
        if found:
            words = {name: visible(text, 300) for name, text in found.groupdict("").items()}
            words |= {"said": visible(" ".join(said.split()), 400)}
            cause, remedy = (text.format(place=place, **words) for text in (rule.cause, rule.remedy))
            return ScanError(cause, remedy, transient=rule.transient)
    return None


def refused(refusal: RefusedError, place: Place) -> ScanError:
    """Return the error for what the API server refused."""
    said = _LISTED.sub("the auditor", refusal.message)
    return _certain(_judge(_REFUSALS, f"{refusal.status} {said}", place))


def may_not(verb: str, resource: str, place: Place) -> ScanError:
    """Return the error for a right that is known to be missing."""
    return ScanError(
        f"this user may not {verb} {resource} in the namespace {place.namespace}{place.named}", _GRANT
    )


def load(image: str) -> str:
    """Return how an image gets on the nodes of a cluster."""
    return _LOAD.format(place=Place("", "", "", image))


def not_yet(refusal: RefusedError) -> bool:
    """Return whether an exec was refused only since the container does not run yet."""
    return any(words in refusal.message for words in _NOT_YET)


def starting(reason: str) -> bool:
    """Return whether a container that waits for this reason is on its way."""
    return reason in _STARTING


def waiting(reason: str, message: str, place: Place) -> ScanError | None:
    """Return the error for a container that waits for this reason; None while it may yet start."""
    if starting(reason):
        return None
    unknown = _Rule(r"", "the auditor does not start: {said}", "see the log of the node's kubelet")
    return _judge((*_WAITING, unknown), f"{reason}: {message}", place)


def event(message: str, place: Place) -> ScanError | None:
    """Return the error that an event about the auditor announces before its status does, if it does."""
    return _judge(_WAITING, message, place)


def killed(complaint: str) -> ScanError | None:
    """Return the error for an agent that was killed before it could answer, if it was."""
    return _judge(_KILLED, complaint, Place("", "", "", ""))


def ended(reason: str, exit_code: int, message: str, place: Place) -> ScanError:
    """Return the error for an auditor that ended before the scan could begin."""
    return _certain(_judge(_ENDED, f"{reason} ({exit_code}) {message}", place))


def _certain(error: ScanError | None) -> ScanError:
    if error is None:  # each of these tables ends in a rule for everything
        raise LookupError
    return error
