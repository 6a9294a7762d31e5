"""What a cluster says, word for word as it was seen to, and the sentence a user gets for it."""

from __future__ import annotations

import pytest

from toolkit.clusters import RefusedError
from toolkit.errors import ScanError
from toolkit.runtimes.kubernetes import words

PLACE = words.Place("lab", "web", "app", "auditor:1", "shop/web:2")
_POD_SECURITY = (
    'pods "web" is forbidden: violates PodSecurity "baseline:latest": non-default capabilities '
    '(container "x" must not include "SYS_ADMIN", "SYS_PTRACE" in securityContext.capabilities.add)'
)
_NO_PATCH = (
    'pods "web" is forbidden: User "system:serviceaccount:lab:x" cannot patch resource '
    '"pods/ephemeralcontainers" in API group "" in the namespace "lab"'
)
_REFUSALS = [
    (
        403,
        _POD_SECURITY,
        "Pod Security level baseline of the namespace lab",
        "image://shop/web:2, or allow it",
    ),
    (403, _NO_PATCH, "serviceaccount:lab:x may not patch pods/ephemeralcontainers", "invoke manifests.rbac"),
    (404, 'pods "web" not found', "there is no pod web in the namespace lab", "kubectl get pods"),
    (401, "Unauthorized", "does not accept these credentials", "log in"),
    (
        422,
        'Pod "web" is invalid: spec.ephemeralContainers[0].targetContainerName: Not found: "nope"',
        "the pod web has no container app",
        "kubectl get pod web",
    ),
    (
        422,
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "x" may not be changed',
        "the name of the auditor is taken",
        "scan again",
    ),
    (
        422,
        'spec.ephemeralContainers[0].name: Duplicate value: "app"',
        "the name of the auditor is taken",
        "scan again",
    ),
    (
        422,
        "static pods do not support ephemeral containers",
        "web is a static pod",
        "invoke manifests.sidecar --kind pod",
    ),
    (
        400,
        "container zzz is not valid for pod web",
        "the pod web has no container app",
        "kubectl get pod web",
    ),
    (
        403,
        'admission webhook "deny.example" denied the request: no debugging',
        "a policy of the cluster does not admit the auditor",
        "sidecar",
    ),
    (429, "Too many requests, please try again later.", "has too much to do", "--jobs"),
    (500, "etcdserver: leader changed", "could not do it: 500 etcdserver: leader changed", "health"),
    (409, "something new", "the API server refused: 409 something new", "administrator"),
]


@pytest.mark.parametrize(("status", "said", "cause", "remedy"), _REFUSALS)
def test_what_the_api_server_refuses(status: int, said: str, cause: str, remedy: str) -> None:
    error = words.refused(RefusedError(status, said), PLACE)
    assert cause in error.cause
    assert remedy in error.remedy
    assert error.status == ScanError.status


_WAITING = [
    ("ErrImageNeverPull", 'Container image "a" is not present with pull policy of Never', "may not pull it"),
    ("ErrImagePull", "rpc error: code = NotFound", "can't be had: ErrImagePull: rpc error"),
    ("ImagePullBackOff", 'Back-off pulling image "a"', "the auditor image auditor:1 can't be had"),
    ("InvalidImageName", "couldn't parse image reference", "'auditor:1' is no name of an image"),
    ("RunContainerError", "exec: no such file or directory", "the node could not start the auditor"),
    (
        "CreateContainerConfigError",
        "container has runAsNonRoot and image will run as root",
        "does not let the auditor run as root",
    ),
    (
        "CreateContainerError",
        "invalid target container: app is not running - in state CONTAINER_EXITED",
        "the container app does not run",
    ),
    ("SomethingNew", "whatever", "the auditor does not start: SomethingNew: whatever"),
]


@pytest.mark.parametrize(("reason", "message", "cause"), _WAITING)
def test_why_an_auditor_does_not_start(reason: str, message: str, cause: str) -> None:
    error = words.waiting(reason, message, PLACE)
    assert error is not None
    assert cause in error.cause
    assert error.remedy


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing", ""])
def test_what_may_yet_start_is_no_error(reason: str) -> None:
    assert words.waiting(reason, "", PLACE) is None


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ('Container image "auditor:1" is not present with pull policy of Never', "may not pull it"),
        ("Error: ErrImageNeverPull", "may not pull it"),
        ('Failed to pull image "auditor:1": not found', "can't be had"),
        ('Failed to apply default image tag "A:1": couldn\'t parse: InvalidImageName', "is no name"),
    ],
)
def test_events_tell_it_before_the_status_does(message: str, cause: str) -> None:
    error = words.event(message, PLACE)
    assert error is not None
    assert cause in error.cause


@pytest.mark.parametrize(
    "message", ['Pulling image "auditor:1"', "Created container", "Started container barescan-1"]
)
def test_other_events_are_none(message: str) -> None:
    assert words.event(message, PLACE) is None


@pytest.mark.parametrize(
    ("reason", "code", "message", "cause", "transient"),
    [
        ("OOMKilled", 137, "", "for lack of memory", False),
        ("Error", 137, "", "the container app has ended", True),
        ("Error", 1, "", "ended at once: Error (1)", False),
        ("StartError", 128, "exec format error", "could not start the auditor", False),
    ],
)
def test_why_an_auditor_ended(reason: str, code: int, message: str, cause: str, transient: bool) -> None:
    error = words.ended(reason, code, message, PLACE)
    assert cause in error.cause
    assert error.transient is transient


def test_what_a_cluster_says_can_do_no_harm() -> None:
    error = words.refused(RefusedError(500, "\x1b]0;owned\x07{place.image} {0}" + "x" * 9000), PLACE)
    assert "\x1b" not in error.cause
    assert "{place.image}" in error.cause
    assert len(error.cause) < 1000


@pytest.mark.parametrize(
    "said",
    [
        'unable to upgrade connection: container not found ("barescan-1")',
        'container "barescan-1" in pod "web" is waiting to start',
    ],
)
def test_an_exec_that_comes_too_early_is_told_from_one_that_is_refused(said: str) -> None:
    assert words.not_yet(RefusedError(500, said))
    assert not words.not_yet(RefusedError(403, _NO_PATCH))
